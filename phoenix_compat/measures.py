"""Plain numbers that say how a server does: histograms, and counts with a bounded number of labels.

Observing costs a few instructions; whoever shows the numbers reads them when it is asked. Nothing
here locks: each object belongs to one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

OTHER: Final = "other"
"""The label of what is beyond the limit of a table."""
MAX_ROWS: Final = 50
"""How many different labels a table has; all further ones are counted together, as OTHER."""

Labels: TypeAlias = tuple[str, ...]


class Histogram:
    """How often values fell between bounds, and their sum.

    Attributes:
        bounds: the upper bounds of the buckets, each included, in ascending order.
        counts: the values in each bucket; the last one has those above all bounds.
        total: the sum of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one below zero, which only a clock that jumps gives, counts as zero."""
        value = max(value, 0.0)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class _Table:
    """Finds the row for labels, and limits how many rows there are.

    Attributes:
        names: the names of the labels.
    """

    def __init__(self, names: Sequence[str], max_rows: int) -> None:
        self.names = tuple(names)
        self._max_rows = max_rows
        self._others = (OTHER,) * len(self.names)

    def _key(self, labels: Labels, known: object, size: int) -> Labels:
        return labels if known is not None or size < self._max_rows else self._others


class HistogramTable(_Table):
    """One histogram for each combination of labels.

    Args:
        names: the names of the labels.
        bounds: see Histogram.
    """

    def __init__(
        self, names: Sequence[str], bounds: Sequence[float], *, max_rows: int = MAX_ROWS
    ) -> None:
        super().__init__(names, max_rows)
        self._bounds = tuple(bounds)
        self._rows: dict[Labels, Histogram] = {}

    def __iter__(self) -> Iterator[tuple[Labels, Histogram]]:
        """The rows, in the order in which they were made."""
        return iter(self._rows.items())

    def observe(self, labels: Labels, value: float) -> None:
        """Count a value."""
        found = self._rows.get(labels)
        if found is None:
            key = self._key(labels, found, len(self._rows))
            found = self._rows.setdefault(key, Histogram(self._bounds))
        found.observe(value)


class CountTable(_Table):
    """One count for each combination of labels.

    Args:
        names: the names of the labels.
    """

    def __init__(self, names: Sequence[str], *, max_rows: int = MAX_ROWS) -> None:
        super().__init__(names, max_rows)
        self._rows: dict[Labels, float] = {}

    def __iter__(self) -> Iterator[tuple[Labels, float]]:
        """The rows, in the order in which they were made."""
        return iter(self._rows.items())

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add to a count."""
        found = self._rows.get(labels)
        if found is None:
            labels = self._key(labels, found, len(self._rows))
            found = self._rows.get(labels, 0)
        self._rows[labels] = found + amount
