"""Checks numbered messages of one sender, which must come once each and in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_MAX_GAPS: Final = 200
"""How many numbers that have not come are remembered; older ones stay missing."""


@dataclass(slots=True)
class Sequence:
    """What has come of the numbers 0, 1, 2 and so on.

    Attributes:
        received: how many messages, duplicates too.
        out_of_order: how many came after a higher number.
        duplicated: how many came again.
    """

    received: int = 0
    out_of_order: int = 0
    duplicated: int = 0
    _next: int = 0
    _lost: int = 0
    _gaps: dict[int, None] = field(default_factory=dict)

    def record(self, number: int) -> None:
        """A message has come."""
        self.received += 1
        if number >= self._next:
            self._skip_to(number)
            self._next = number + 1
        elif number in self._gaps:
            del self._gaps[number]
            self.out_of_order += 1
        else:
            self.duplicated += 1

    def missing(self, sent: int | None = None) -> int:
        """How many have not come.

        Args:
            sent: how many were sent; None if what comes after the last one does not count.
        """
        after = 0 if sent is None else max(sent - self._next, 0)
        return self._lost + len(self._gaps) + after

    def _skip_to(self, number: int) -> None:
        """Remember the numbers before this one that have not come, and forget the oldest."""
        remembered = max(self._next, number - _MAX_GAPS)
        self._lost += remembered - self._next
        for gap in range(remembered, number):
            self._gaps[gap] = None
        while len(self._gaps) > _MAX_GAPS:
            del self._gaps[next(iter(self._gaps))]
            self._lost += 1
