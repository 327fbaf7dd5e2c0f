"""Histograms and tables: bounds, sums, and the limit of labels."""

from __future__ import annotations

from phoenix_compat.measures import OTHER, CountTable, Histogram, HistogramTable


def test_a_bound_is_part_of_its_bucket() -> None:
    """Values on a bound, between bounds and above all of them."""
    found = Histogram((1.0, 2.0))

    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        found.observe(value)

    assert found.counts == [2, 2, 1]
    assert found.total == 14.0
    assert found.count == 5


def test_a_value_below_zero_counts_as_zero() -> None:
    """Only a clock that jumps gives such a value."""
    found = Histogram((1.0,))

    found.observe(-5.0)

    assert (found.counts, found.total) == ([1, 0], 0.0)


def test_further_labels_are_counted_together() -> None:
    """A table has at most one row more than its limit, whatever clients make up."""
    counts, times = (
        CountTable(("model",), max_rows=2),
        HistogramTable(("model",), (1.0,), max_rows=2),
    )

    for name in ("a", "b", "c", "d", "a"):
        counts.add((name,), 2)
        times.observe((name,), 0.5)

    assert dict(counts) == {("a",): 4, ("b",): 2, (OTHER,): 4}
    assert {labels: one.count for labels, one in times} == {("a",): 2, ("b",): 1, (OTHER,): 2}
