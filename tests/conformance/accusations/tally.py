"""Counts what the runs said: how many plays, failures, and cases that could not be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = Any

_BAD = {"failed", "passed unexpectedly"}
_UNJUDGED = "could not be judged"


@dataclass(slots=True)
class Tally:
    """The sum of several reports of `conformance run --json`.

    Attributes:
        runs: the reports that were added.
        cases: the verdicts in them.
        plays: how often cases were played, alone or among others.
        accusations: how often each case failed, and how often it passed unexpectedly.
        unjudged: how often each case could not be judged.
        passed_alone: how often each case failed among others and passed alone.
        highest_factor: of all runs.
    """

    runs: int = 0
    cases: int = 0
    plays: int = 0
    accusations: Counter[str] = field(default_factory=Counter)
    unjudged: Counter[str] = field(default_factory=Counter)
    passed_alone: Counter[str] = field(default_factory=Counter)
    highest_factor: float = 1.0

    def add(self, report: Mapping[str, JSON]) -> str:
        """Add a report; returns it in one line."""
        cases = report["cases"]
        self.runs += 1
        self.cases += len(cases)
        self.plays += sum(case["plays"] for case in cases)
        self.highest_factor = max(self.highest_factor, report["time_factor"])
        bad = [_key(case) for case in cases if case["outcome"] in _BAD]
        unjudged = [_key(case) for case in cases if case["outcome"] == _UNJUDGED]
        alone = [_key(case) for case in cases if case["outcome"] == "passed" and case["plays"] > 1]
        self.accusations.update(bad)
        self.unjudged.update(unjudged)
        self.passed_alone.update(alone)
        return (
            f"{len(cases)} cases, {len(bad)} failed, {len(unjudged)} not judged, "
            f"{len(alone)} passed only alone, factor {report['time_factor']:.1f}, "
            f"{report['took_s']:.1f} s"
        )

    def lines(self) -> list[str]:
        """The sum for people, with the cases that were not simply passed."""
        sums = f"{self.runs} runs, {self.cases} verdicts, {self.plays} plays"
        lines = [f"{sums}, highest factor {self.highest_factor:.1f}"]
        for name, counts in (
            ("failed", self.accusations),
            ("could not be judged", self.unjudged),
            ("failed among others, and passed alone", self.passed_alone),
        ):
            lines.append(f"{name}: {counts.total()}")
            lines += [f"  {number}x {key}" for key, number in counts.most_common()]
        return lines

    @property
    def exit_code(self) -> int:
        """That of `conformance run`, for all runs: 0, 1 or 3."""
        return 1 if self.accusations else 3 if self.unjudged else 0


def _key(case: Mapping[str, JSON]) -> str:
    return f"{case['id']} {case['transport']}"
