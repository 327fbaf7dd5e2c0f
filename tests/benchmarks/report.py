"""What is told of the runs: a JSON line each, and a table of medians at the end."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.work import Sample, Work


@dataclass(slots=True)
class Outcome:
    """All runs of one work, by side."""

    work: Work
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    @property
    def ours(self) -> float:
        """The median of our side."""
        return self._median("ours")

    @property
    def ruler(self) -> float | None:
        """The median of the other side, if the work has one."""
        return self._median("ruler") if "ruler" in self.samples else None

    @property
    def ratio(self) -> float | None:
        """Ours over the ruler; None without a ruler, or when that showed nothing."""
        return self.ours / self.ruler if self.ruler else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is kept; None for a work without one."""
        target = self.work.target
        return None if target is None else target.is_met(self.ours, self.ratio)

    def load_percent(self, side: str) -> float | None:
        """The median share of its core that the load generator used; None when it is not known."""
        runs = self.samples.get(side, [])
        shares = [run.detail["client_cpu_pct"] for run in runs if "client_cpu_pct" in run.detail]
        return statistics.median(shares) if shares else None

    def _median(self, side: str) -> float:
        return statistics.median(sample.value for sample in self.samples[side])


def json_line(
    work: Work, side: str, number: int, sample: Sample, context: Mapping[str, Any]
) -> str:
    """One run as a line of JSON; `context` is what all runs share, as the seed and the machine."""
    line = {
        "work": work.name,
        "side": side if side == "ours" else work.ruler_name,
        "round": number,
        "value": round(sample.value, 4),
        "unit": work.unit,
        **context,
        "detail": dict(sample.detail),
    }
    return json.dumps(line, ensure_ascii=False)


_HEADS = ("work", "ours", "held against", "", "ratio", "target", "met", "load's core")


def table(outcomes: Sequence[Outcome]) -> str:
    """The medians as a table in Markdown.

    The last column is how busy the load generator was, against us and against the ruler: where it
    is near 100 % against us, it is the generator that was measured.
    """
    rows = [_HEADS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(outcome: Outcome) -> tuple[str, ...]:
    work = outcome.work
    met = {None: "", True: "yes", False: "NO"}[outcome.is_met]
    return (
        work.name,
        _figure(outcome.ours, work),
        work.ruler_name,
        "" if outcome.ruler is None else _figure(outcome.ruler, work),
        "" if outcome.ratio is None else f"{outcome.ratio:.3f}",
        "" if work.target is None else str(work.target),
        met,
        _load(outcome),
    )


def _figure(value: float, work: Work) -> str:
    return f"{value:,.{work.digits}f} {work.unit}".replace(",", " ")


def _load(outcome: Outcome) -> str:
    shares = [outcome.load_percent(side) for side in outcome.work.sides]
    known = [f"{share:.0f} %" for share in shares if share is not None]
    return " / ".join(known)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
    return f"| {' | '.join(cells)} |"
