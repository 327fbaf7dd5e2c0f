"""The results of a run: what each step wanted and got, and what that proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix_compat.conformance.suite.cases import JSON, Action, Case
from phoenix_compat.conformance.suite.conversation import LogLine
from phoenix_compat.conformance.suite.judging.conditions import Conditions
from phoenix_compat.conformance.suite.reasons import describe_received


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step wanted and got, both in the format of `expect` in the vectors.

    Attributes:
        reasons: one sentence for each difference.
        took_s: how long the step took, with the time that missing frames were waited for.
    """

    action: Action
    wanted: Mapping[str, JSON]
    got: Mapping[str, JSON]
    reasons: tuple[str, ...] = ()
    took_s: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether the server answered as Phoenix did."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case: passed, failed, or not judged.

    Attributes:
        case: the case as it was played, with its isolated names.
        steps: the steps that were played.
        error: why the case could not be played to the end, or None.
        log: every action and everything received.
        took_s: the duration in seconds.
        conditions: how slow machine and server were meanwhile.
        unjudged: why the differences prove nothing, so that the case counts as neither passed nor
            failed; otherwise None.
        plays: how often the case was played; this is the last play.
        is_timeout: whether the error is that an answer did not come in time.
    """

    case: Case
    steps: tuple[StepResult, ...]
    error: str | None = None
    log: tuple[LogLine, ...] = ()
    took_s: float = 0.0
    conditions: Conditions = field(default_factory=Conditions)
    unjudged: str | None = None
    plays: int = 1
    is_timeout: bool = False

    @property
    def passed(self) -> bool:
        """Whether every step was played and answered as Phoenix did."""
        return self.error is None and all(step.is_right for step in self.steps)

    @property
    def failed(self) -> bool:
        """Whether it is proven that the server answers differently."""
        return not self.passed and self.unjudged is None

    @property
    def reasons(self) -> list[str]:
        """What differs; each reason begins with the number of its step."""
        found = [
            f"step {number}, {reason}"
            for number, step in enumerate(self.steps, start=1)
            for reason in step.reasons
        ]
        return found if self.error is None else [*found, self.error]

    def explain(self) -> str:
        """The case step by step, with wanted and got where they differ."""
        verdict = "ok" if self.passed else "FAILED" if self.failed else "NOT JUDGED"
        lines = [f"{verdict}: {self.case.key}"]
        if self.unjudged is not None:
            lines.append(f"  {self.unjudged}")
        for number, step in enumerate(self.steps, start=1):
            lines.append(f"  {'ok  ' if step.is_right else 'WRONG'} {number}. {step.action}")
            if not step.is_right:
                lines += [f"        wanted {line}" for line in describe_received(step.wanted)]
                lines += [f"        got    {line}" for line in describe_received(step.got)]
        if self.error is not None:
            lines.append(f"  STOPPED: {self.error}")
        return "\n".join(lines)
