"""What a benchmark is: a name, the side under test, a baseline and a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from tests.benchmarks.context import BenchmarkContext


class BenchmarkError(Exception):
    """A benchmark that could not be run; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one run.

    Attributes:
        value: the figure to compare, in the unit of the benchmark.
        detail: further data for the JSON line.
    """

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


Measure: TypeAlias = Callable[[BenchmarkContext], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of a benchmark: bounds on the ratio of the two sides, or on our own value."""

    min_ratio: float | None = None
    max_ratio: float | None = None
    max_value: float | None = None

    def is_met(self, ours: float, ratio: float | None) -> bool:
        """True when the medians are within all bounds; an unknown ratio is within none."""
        if self.max_value is not None and ours > self.max_value:
            return False
        if self.min_ratio is not None and (ratio is None or ratio < self.min_ratio):
            return False
        return self.max_ratio is None or (ratio is not None and ratio <= self.max_ratio)

    def __str__(self) -> str:
        bounds = (("≥", self.min_ratio), ("≤", self.max_ratio), ("at most", self.max_value))
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One row of the table.

    Attributes:
        name: unique; `--only` searches in it.
        unit: the unit of both values, such as "msg/s".
        ours: measures the side under test.
        baseline: measures the side to compare with; None when there is none.
        baseline_name: what the baseline is, in one or two words.
        before: measures the baseline in a checkout that does not have what `ours` measures yet;
            None measures `ours` there.
        digits: the number of decimals in the table.
    """

    name: str
    unit: str
    ours: Measure
    baseline: Measure | None = None
    baseline_name: str = ""
    before: Measure | None = None
    target: Target | None = None
    digits: int = 0

    def against(self, checkout: Path) -> Benchmark:
        """The same with another checkout's server as the baseline.

        The target stays only where it is one for that comparison too.
        """
        measure = self.before or self.ours
        return replace(
            self,
            baseline=lambda context: measure(context.of(checkout)),
            baseline_name=checkout.name,
            target=None if self.before is None else self.target,
        )

    @property
    def sides(self) -> Mapping[str, Measure]:
        """The sides by name: "ours", and "baseline" if there is one."""
        return {"ours": self.ours} | ({} if self.baseline is None else {"baseline": self.baseline})
