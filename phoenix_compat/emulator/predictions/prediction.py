"""A prediction as a function of time: its state at any moment is computed from its schedule.

The transitions, in order of precedence when two fall on the same moment:

    when                                       new status
    it is created                              starting (or the schedule's `waiting_status`)
    the schedule's starting time is over       processing; aborted if that is the ending
    the schedule's running time is over        the schedule's ending
    the deadline passes before it runs         aborted
    the deadline passes while it runs          canceled
    it is canceled before it has ended         canceled

A prediction that has ended does not change. Times are unix seconds of the emulator's clock,
without the skew of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

from phoenix_compat.emulator.faults.fault_plan import FaultSpec
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.model import Model
from phoenix_compat.emulator.schedule import Schedule, Status

# The output exists shortly before the status changes; `Prefer: wait` answers in that interval.
_OUTPUT_FRACTION = 0.97

# Rounding errors of unix seconds in a float are smaller than this.
_EPSILON_S = 1e-6

_WAITING_OR_RUNNING = frozenset({Status.STARTING, Status.QUEUED, Status.PROCESSING})


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """The webhook URL and the events to send to it (`start`, `output`, `logs`, `completed`)."""

    url: str
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of a prediction at one moment.

    Attributes:
        started_at_s, completed_at_s: None when that has not happened yet.
        fraction: the completed part of the run, 0 to 1.
        has_output: the output exists, which may be before the status is `succeeded`.
    """

    status: Status
    started_at_s: float | None
    completed_at_s: float | None
    fraction: float
    has_output: bool

    @property
    def is_over(self) -> bool:
        """True when the prediction has ended, also with a status that Replicate does not have."""
        return self.status not in _WAITING_OR_RUNNING


@dataclass(slots=True, kw_only=True)
class Prediction:
    """A prediction: its create, its schedule, and when it was canceled.

    Attributes:
        version: 64 hex digits, or `hidden`.
        origin: `http://host:port` of the create request, for the URLs in webhooks.
        sequence: its number among all predictions of this emulator.
        deadline_s: the time at which `Cancel-After` ends it.
        fault_specs: the faults that the create asked for.
        inline_output: a `data:` URL, drawn at creation, for schedules with that output.
        subject: what was found out about its files when it was created, for models that write.
        is_reported: the terminal webhook was delivered, or given up.
    """

    id: str
    model: Model
    version: str
    input: JsonObject
    schedule: Schedule
    created_at_s: float
    origin: str
    sequence: int
    deadline_s: float | None = None
    deployment: str | None = None
    webhook: WebhookRequest | None = None
    fault_specs: tuple[FaultSpec, ...] = ()
    inline_output: str | None = None
    subject: str | None = None
    canceled_at_s: float | None = None
    is_reported: bool = False

    @property
    def prompt(self) -> str:
        """The prompt in the input; empty when there is none."""
        prompt = self.input.get("prompt")
        return prompt if isinstance(prompt, str) else ""

    @property
    def starts_at_s(self) -> float:
        """When it starts to run unless it ends before; inf when it never does."""
        return self.created_at_s + self.schedule.starting_s

    @property
    def output_at_s(self) -> float:
        """When its output exists unless it ends before."""
        return self.starts_at_s + self.schedule.run_s * _OUTPUT_FRACTION

    @property
    def steps(self) -> int:
        """The number of steps of its progress bar; 0 when it has none."""
        return self.model.steps(self.input)

    def ending(self) -> tuple[float, Status]:
        """When it will end, and with which status; inf when it never does."""
        ends = [self._scheduled_ending()]
        if self.deadline_s is not None:
            is_waiting = self.deadline_s < self.starts_at_s
            ends.append((self.deadline_s, Status.ABORTED if is_waiting else Status.CANCELED))
        if self.canceled_at_s is not None:
            ends.append((self.canceled_at_s, Status.CANCELED))
        return min(ends, key=lambda end: end[0])

    def at(self, now_s: float) -> Moment:
        """The state at this time."""
        ends_at_s, ending = self.ending()
        is_over = ends_at_s <= now_s
        started_at_s = self.starts_at_s
        if ending is Status.ABORTED or started_at_s > min(now_s, ends_at_s):
            status = ending if is_over else self.schedule.waiting_status
            return Moment(status, None, ends_at_s if is_over else None, 0.0, has_output=False)
        ran_s = min(now_s, ends_at_s) - started_at_s
        left_s = self.schedule.run_s - ran_s
        has_output = (ending if is_over else self.schedule.ending) is Status.SUCCEEDED
        return Moment(
            status=ending if is_over else Status.PROCESSING,
            started_at_s=started_at_s,
            completed_at_s=ends_at_s if is_over else None,
            fraction=1.0 if left_s < _EPSILON_S else ran_s / self.schedule.run_s,
            has_output=has_output and (is_over or self.output_at_s <= now_s),
        )

    def cancel(self, now_s: float) -> None:
        """Cancel it now; no effect when it has ended or is already canceled."""
        if self.canceled_at_s is None and not self.at(now_s).is_over:
            self.canceled_at_s = now_s

    def move_out_of_future(self, now_s: float) -> None:
        """Move a creation time in the future to now.

        That happens when the clock was set back between two runs of the emulator.
        """
        ahead_s = self.created_at_s - now_s
        if ahead_s > 0:
            self.created_at_s -= ahead_s
            if self.deadline_s is not None:
                self.deadline_s -= ahead_s
            if self.canceled_at_s is not None:
                self.canceled_at_s -= ahead_s

    def next_change_s(self, now_s: float) -> float | None:
        """The next time after `now_s` at which its state may change; None when it has ended."""
        ends_at_s, _ = self.ending()
        if ends_at_s <= now_s:
            return None
        step_s = self.schedule.run_s / self.steps if self.steps else self.schedule.run_s / 10
        moments = [self.starts_at_s, self.output_at_s, ends_at_s]
        if now_s >= self.starts_at_s and 0 < step_s < float("inf"):
            done = int((now_s - self.starts_at_s) / step_s)
            moments += [self.starts_at_s + (done + ahead) * step_s for ahead in (1, 2)]
        return min(moment for moment in moments if moment > now_s)

    def _scheduled_ending(self) -> tuple[float, Status]:
        schedule = self.schedule
        if schedule.ending is Status.ABORTED:
            return self.starts_at_s, Status.ABORTED
        if schedule.ending is Status.CANCELED:
            # Canceled by someone else in the middle of the run.
            return self.starts_at_s + schedule.run_s / 2, Status.CANCELED
        return self.starts_at_s + schedule.run_s, schedule.ending
