"""What a measurement is: a name, the side under test, the side it is held against, a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.benchmarks.rig import Rig


class BenchError(Exception):
    """A measurement that could not be made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run gave.

    Attributes:
        value: the figure that is compared, in the unit of the work.
        detail: all else that is known of the run, for its JSON line.
    """

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


Measure: TypeAlias = Callable[[Rig], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a work must show: a bound on the ratio of the two sides, or on our own figure."""

    min_ratio: float | None = None
    max_ratio: float | None = None
    max_value: float | None = None

    def is_met(self, ours: float, ratio: float | None) -> bool:
        """Whether the medians keep every bound; a ratio that is not known keeps none."""
        if self.max_value is not None and ours > self.max_value:
            return False
        if self.min_ratio is not None and (ratio is None or ratio < self.min_ratio):
            return False
        return self.max_ratio is None or (ratio is not None and ratio <= self.max_ratio)

    def __str__(self) -> str:
        bounds = (("≥", self.min_ratio), ("≤", self.max_ratio), ("at most", self.max_value))
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One row of the table.

    Attributes:
        name: unique; what `--only` looks into.
        unit: of both figures, as "msg/s".
        ours: measures the side under test.
        ruler: measures what it is held against; None for a figure that stands alone.
        ruler_name: what that is, in a word or two.
        digits: behind the point, in the table.
    """

    name: str
    unit: str
    ours: Measure
    ruler: Measure | None = None
    ruler_name: str = ""
    target: Target | None = None
    digits: int = 0

    @property
    def sides(self) -> Mapping[str, Measure]:
        """Its sides by name: "ours", and "ruler" if it has one."""
        return {"ours": self.ours} | ({} if self.ruler is None else {"ruler": self.ruler})
