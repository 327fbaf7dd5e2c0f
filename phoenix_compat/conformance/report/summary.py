"""Turns the results of a run into verdicts, by comparing them with the expected failures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.conformance.suite.catalog import LATEST
from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.conformance.suite.runner import CaseResult


class Outcome(StrEnum):
    """A verdict, as the reports print it."""

    PASSED = "passed"
    FAILED = "failed"
    EXPECTED_FAILURE = "failed as expected"
    UNEXPECTED_PASS = "passed unexpectedly"  # noqa: S105 - not a password
    UNJUDGED = "could not be judged"

    @property
    def is_good(self) -> bool:
        """Whether a run with this outcome can be a success."""
        return self in {Outcome.PASSED, Outcome.EXPECTED_FAILURE}

    @property
    def is_bad(self) -> bool:
        """Whether a run with this outcome has failed."""
        return self in {Outcome.FAILED, Outcome.UNEXPECTED_PASS}


WORST_FIRST: Final = (
    Outcome.FAILED,
    Outcome.UNEXPECTED_PASS,
    Outcome.UNJUDGED,
    Outcome.EXPECTED_FAILURE,
    Outcome.PASSED,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A result and its outcome."""

    result: CaseResult
    outcome: Outcome

    @property
    def case(self) -> Case:
        """The case that was played."""
        return self.result.case


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts of a run.

    Attributes:
        url: the server.
        profile: the version of Phoenix that it was compared with.
        began_at: the start, with a time zone.
        time_factor: how many times longer than usual it waited at most, see `suite.pace`.
        timing: `strict` or `patient`.
    """

    url: str
    profile: str
    began_at: datetime
    took_s: float
    verdicts: Sequence[Verdict]
    time_factor: float = 1.0
    timing: str = "patient"

    @property
    def is_good(self) -> bool:
        """Whether every case had the expected outcome."""
        return all(verdict.outcome.is_good for verdict in self.verdicts)

    @property
    def is_bad(self) -> bool:
        """Whether a case failed, or passed unexpectedly; a run can be neither good nor bad."""
        return any(verdict.outcome.is_bad for verdict in self.verdicts)

    @property
    def passed_alone(self) -> list[Verdict]:
        """The cases that failed among others and passed when they were played alone."""
        return [one for one in self.verdicts if one.result.passed and one.result.plays > 1]

    @property
    def passed(self) -> int:
        """How many cases the server answered as Phoenix does, whether expected or not."""
        return sum(verdict.result.passed for verdict in self.verdicts)

    @property
    def counts(self) -> dict[Outcome, int]:
        """The number of verdicts with each outcome."""
        found = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: found[outcome] for outcome in Outcome}

    @property
    def summary(self) -> str:
        """The run in one line."""
        counts = ", ".join(
            f"{count} {outcome}"
            for outcome, count in self.counts.items()
            if count and outcome is not Outcome.PASSED
        )
        return (
            f"{self.passed} of {len(self.verdicts)} passed"
            f"{f' ({counts})' if counts else ''}, profile {self.profile}, {self.took_s:.1f} s"
        )

    def reproduce(self, case: Case) -> str:
        """The command that plays only this case."""
        words = [
            *("phoenix-compat", "conformance", "run", self.url),
            *("--only", case.id, "--transport", case.transport),
        ]
        if self.profile != LATEST:
            words += ["--profile", self.profile]
        return shlex.join(words)


def judge(results: Iterable[CaseResult], expected: ExpectedFailures) -> list[Verdict]:
    """Compare results with the expected failures."""
    return [Verdict(result, _outcome(result, expected)) for result in results]


def _outcome(result: CaseResult, expected: ExpectedFailures) -> Outcome:
    if result.unjudged is not None:
        return Outcome.UNJUDGED
    if expected.names(result.case):
        return Outcome.UNEXPECTED_PASS if result.passed else Outcome.EXPECTED_FAILURE
    return Outcome.PASSED if result.passed else Outcome.FAILED
