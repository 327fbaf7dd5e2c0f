"""Counts durations in buckets that are at most 1.6 % wide, so that memory does not grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

_MAX_US: Final = 2**30 - 1
"""18 minutes; longer ones count as that."""
_STEPS: Final = 64


class Histogram:
    """Durations from a microsecond on.

    Attributes:
        count: how many were recorded.
        max_s: the longest, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.max_s = 0.0
        self._counts = [0] * (_index(_MAX_US) + 1)

    def record(self, duration_s: float) -> None:
        """Count a duration; a negative one is zero."""
        self.count += 1
        self.max_s = max(self.max_s, duration_s)
        self._counts[_index(min(max(int(duration_s * 1e6), 0), _MAX_US))] += 1

    def percentile_s(self, percent: float) -> float:
        """So many per cent were not longer, in seconds; 0.0 if nothing was recorded."""
        rank = self.count * percent / 100.0
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(_upper_us(index) / 1e6, self.max_s)
        return 0.0

    def rows(self, edges_s: Sequence[float]) -> Iterator[tuple[float, int]]:
        """The counts up to each edge, and then of all longer ones with `inf`.

        A bucket belongs to the first edge that is not below its upper end.
        """
        sums = [0] * (len(edges_s) + 1)
        row = 0
        for index, count in enumerate(self._counts):
            while row < len(edges_s) and _upper_us(index) / 1e6 > edges_s[row]:
                row += 1
            sums[row] += count
        yield from zip((*edges_s, float("inf")), sums, strict=True)


def _index(us: int) -> int:
    """The bucket: one microsecond wide up to 127, then twice as wide with each power of two."""
    shift = max(us.bit_length() - 7, 0)
    return _STEPS * shift + (us >> shift)


def _upper_us(index: int) -> int:
    if index < 2 * _STEPS:
        return index
    shift = index // _STEPS - 1
    return ((index - _STEPS * shift + 1) << shift) - 1
