"""Formats the results: a JSON line for each run, and a table of medians."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.benchmark import Benchmark, Sample


@dataclass(slots=True)
class Outcome:
    """All runs of one benchmark, by side."""

    benchmark: Benchmark
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    @property
    def ours(self) -> float:
        """The median of our side."""
        return self._median("ours")

    @property
    def baseline(self) -> float | None:
        """The median of the baseline; None when the benchmark has none."""
        return self._median("baseline") if "baseline" in self.samples else None

    @property
    def ratio(self) -> float | None:
        """Our median divided by the baseline's; None without a baseline, or when that is 0."""
        return self.ours / self.baseline if self.baseline else None

    @property
    def is_met(self) -> bool | None:
        """True when the target is met; None when the benchmark has no target."""
        target = self.benchmark.target
        return None if target is None else target.is_met(self.ours, self.ratio)

    def load_percent(self, side: str) -> float | None:
        """The median CPU use of the load generator in percent of its core; None when unknown."""
        runs = self.samples.get(side, [])
        shares = [run.detail["client_cpu_pct"] for run in runs if "client_cpu_pct" in run.detail]
        return statistics.median(shares) if shares else None

    def _median(self, side: str) -> float:
        return statistics.median(sample.value for sample in self.samples[side])


def json_line(
    benchmark: Benchmark, side: str, number: int, sample: Sample, common: Mapping[str, Any]
) -> str:
    """One run as a line of JSON. `common` has keys of all runs, such as seed and machine."""
    line = {
        "work": benchmark.name,
        "side": side if side == "ours" else benchmark.baseline_name,
        "round": number,
        "value": round(sample.value, 4),
        "unit": benchmark.unit,
        **common,
        "detail": dict(sample.detail),
    }
    return json.dumps(line, ensure_ascii=False)


_HEADINGS = ("benchmark", "ours", "baseline", "", "ratio", "target", "met", "load CPU")


def table(outcomes: Sequence[Outcome]) -> str:
    """The medians as a Markdown table.

    The last column is the CPU use of the load generator, for our side and for the baseline. Near
    100 % for our side, the generator was the bottleneck, not the server.
    """
    rows = [_HEADINGS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(outcome: Outcome) -> tuple[str, ...]:
    benchmark = outcome.benchmark
    met = {None: "", True: "yes", False: "NO"}[outcome.is_met]
    return (
        benchmark.name,
        _figure(outcome.ours, benchmark),
        benchmark.baseline_name,
        "" if outcome.baseline is None else _figure(outcome.baseline, benchmark),
        "" if outcome.ratio is None else f"{outcome.ratio:.3f}",
        "" if benchmark.target is None else str(benchmark.target),
        met,
        _load(outcome),
    )


def _figure(value: float, benchmark: Benchmark) -> str:
    return f"{value:,.{benchmark.digits}f} {benchmark.unit}".replace(",", " ")


def _load(outcome: Outcome) -> str:
    shares = [outcome.load_percent(side) for side in outcome.benchmark.sides]
    known = [f"{share:.0f} %" for share in shares if share is not None]
    return " / ".join(known)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
    return f"| {' | '.join(cells)} |"
