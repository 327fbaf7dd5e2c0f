"""Metrics as values: families with samples, as Prometheus means them. No dependency.

They can be sent between processes, and merged: with several processes, each sample gets the label
`process`, because a sum of counters would fall whenever one process is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from phoenix_compat.measures import CountTable, Histogram, HistogramTable, Labels

PREFIX: Final = "phoenix_compat_"
PROCESS: Final = "process"
"""The label of the process that a sample is from, where there are several."""

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
_SUFFIXES: Final[dict[Kind, tuple[str, ...]]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
}


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One number.

    Attributes:
        suffix: what follows the family's name ("_total").
        labels: pairs of name and value.
    """

    suffix: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """The samples of one metric.

    Attributes:
        name: the full name, without the suffix that a kind has ("_total").
        text: what it means, for people; one line.
        labels: the names of its labels.
    """

    name: str
    kind: Kind
    text: str
    samples: tuple[Sample, ...]
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series, as queries use them."""
        return tuple(self.name + suffix for suffix in _SUFFIXES[self.kind])


def gauge(name: str, text: str, value: float) -> Family:
    """A number that goes up and down."""
    return Family(PREFIX + name, "gauge", text, (Sample("", (), value),))


def gauges(
    name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Labels, float]]
) -> Family:
    """Such numbers, by labels."""
    return _table(name, "gauge", text, labels, rows)


def counter(name: str, text: str, value: float) -> Family:
    """A number that only grows; the name is without "_total"."""
    return Family(PREFIX + name, "counter", text, (Sample("_total", (), value),))


def counters(
    name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Labels, float]]
) -> Family:
    """Such numbers, by labels."""
    return _table(name, "counter", text, labels, rows)


def count_table(name: str, text: str, table: CountTable) -> Family:
    """The counts of a table."""
    return _table(name, "counter", text, table.names, table)


def info(name: str, text: str, **labels: str) -> Family:
    """A family that says something in words."""
    sample = Sample("_info", tuple(labels.items()), 1)
    return Family(PREFIX + name, "info", text, (sample,), tuple(labels))


def histogram(name: str, text: str, one: Histogram) -> Family:
    """A distribution."""
    return Family(PREFIX + name, "histogram", text, tuple(_of_histogram((), one)))


def histogram_table(name: str, text: str, table: HistogramTable) -> Family:
    """Distributions, by labels."""
    samples = [
        sample
        for values, one in table
        for sample in _of_histogram(tuple(zip(table.names, values, strict=True)), one)
    ]
    return Family(PREFIX + name, "histogram", text, tuple(samples), table.names)


def merged(processes: Iterable[tuple[int, Sequence[Family]]]) -> list[Family]:
    """The families of several processes as one list.

    Args:
        processes: pairs of a process's number and its families.
    """
    found: dict[str, tuple[Family, list[Sample]]] = {}
    for number, families in processes:
        label = (PROCESS, str(number))
        for family in families:
            _, samples = found.setdefault(family.name, (family, []))
            samples += [
                Sample(one.suffix, (*one.labels, label), one.value) for one in family.samples
            ]
    return [
        Family(family.name, family.kind, family.text, tuple(samples), (*family.labels, PROCESS))
        for family, samples in found.values()
    ]


def _table(
    name: str,
    kind: Kind,
    text: str,
    labels: Sequence[str],
    rows: Iterable[tuple[Labels, float]],
) -> Family:
    (suffix,) = _SUFFIXES[kind]
    samples = tuple(
        Sample(suffix, tuple(zip(labels, values, strict=True)), value) for values, value in rows
    )
    return Family(PREFIX + name, kind, text, samples, tuple(labels))


def _of_histogram(labels: tuple[tuple[str, str], ...], one: Histogram) -> Iterator[Sample]:
    so_far = 0
    for bound, count in zip((*one.bounds, float("inf")), one.counts, strict=True):
        so_far += count
        edge = "+Inf" if bound == float("inf") else str(bound)
        yield Sample("_bucket", (*labels, ("le", edge)), so_far)
    yield Sample("_count", labels, so_far)
    yield Sample("_sum", labels, one.total)
