"""The verdicts of a run, against what was expected of it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.conformance.suite.catalog import LATEST
from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.conformance.suite.runner import CaseResult


class Outcome(StrEnum):
    """A verdict, in the word by which reports call it."""

    PASSED = "passed"
    FAILED = "failed"
    EXPECTED_FAILURE = "failed as expected"
    UNEXPECTED_PASS = "passed unexpectedly"  # noqa: S105 - no password

    @property
    def is_good(self) -> bool:
        """Whether the run may still count as a success."""
        return self in {Outcome.PASSED, Outcome.EXPECTED_FAILURE}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A result, and what it counts as."""

    result: CaseResult
    outcome: Outcome

    @property
    def case(self) -> Case:
        """What was played."""
        return self.result.case


@dataclass(frozen=True, slots=True)
class Report:
    """A run.

    Attributes:
        url: the server.
        profile: the version it was held to.
        began_at: with a time zone.
    """

    url: str
    profile: str
    began_at: datetime
    took_s: float
    verdicts: Sequence[Verdict]

    @property
    def is_good(self) -> bool:
        """Whether every case went as it was expected to."""
        return all(verdict.outcome.is_good for verdict in self.verdicts)

    @property
    def passed(self) -> int:
        """How many plays the server answered as Phoenix does, expected or not."""
        return sum(verdict.result.passed for verdict in self.verdicts)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How often there was which outcome."""
        found = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: found[outcome] for outcome in Outcome}

    @property
    def summary(self) -> str:
        """The run in a line."""
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
        """The command that plays one case alone."""
        words = [
            *("phoenix-compat", "conformance", "run", self.url),
            *("--only", case.id, "--transport", case.transport),
        ]
        if self.profile != LATEST:
            words += ["--profile", self.profile]
        return shlex.join(words)


def judge(results: Iterable[CaseResult], expected: ExpectedFailures) -> list[Verdict]:
    """Hold results against the failures that are expected."""
    return [Verdict(result, _outcome(result, expected)) for result in results]


def _outcome(result: CaseResult, expected: ExpectedFailures) -> Outcome:
    if expected.names(result.case):
        return Outcome.UNEXPECTED_PASS if result.passed else Outcome.EXPECTED_FAILURE
    return Outcome.PASSED if result.passed else Outcome.FAILED
