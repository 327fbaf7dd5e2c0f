"""One prediction, as a function of time: what it is at a moment, computed and never stepped.

Rules, in the order of precedence when two come at one moment:

    when                                          it becomes
    it is created                                 starting (or what its schedule calls that)
    the schedule's starting time is over            processing; aborted if that is its ending
    the schedule's running time is over             the schedule's ending, once and for good
    its deadline passes before it ran             aborted
    its deadline passes while it runs             canceled
    someone cancels it before it ended            canceled

Nothing leaves an ending. Times are unix seconds of the emulator's clock, before the schedule's
skew.
"""

from __future__ import annotations

from dataclasses import dataclass

from phoenix_compat.emulator.faults.fault_plan import Mark
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.model import Model
from phoenix_compat.emulator.schedule import Schedule, Status

# The output is there a little before the status says so; `Prefer: wait` answers in that gap.
_OUTPUT_FRACTION = 0.97

# Unix seconds in a float are good to a fraction of this.
_TICK_S = 1e-6

_WAITING_OR_RUNNING = frozenset({Status.STARTING, Status.QUEUED, Status.PROCESSING})


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """Where a prediction reports, and of which events (`start`, `output`, `logs`, `completed`)."""

    url: str
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a prediction is at one moment.

    Attributes:
        started_at_s, completed_at_s: None until then.
        fraction: how much of the run is over, 0 to 1.
        has_output: the output is there (it comes before the status says so).
    """

    status: Status
    started_at_s: float | None
    completed_at_s: float | None
    fraction: float
    has_output: bool

    @property
    def is_over(self) -> bool:
        """True at every ending, known to Replicate or not."""
        return self.status not in _WAITING_OR_RUNNING


@dataclass(slots=True, kw_only=True)
class Prediction:
    """A prediction as it was created, and when it was canceled if it was.

    Attributes:
        version: 64 hex digits, or `hidden`.
        origin: `http://host:port` of the create request; webhooks need it for their URLs.
        sequence: its place among all predictions of this emulator.
        deadline_s: the moment at which `Cancel-After` ends it.
        marks: the faults that its create asked for.
        inline_output: a `data:` URL, drawn at creation, for the schedule that wants one.
        is_reported: its webhook heard of its end, or was given up.
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
    marks: tuple[Mark, ...] = ()
    inline_output: str | None = None
    canceled_at_s: float | None = None
    is_reported: bool = False

    @property
    def prompt(self) -> str:
        """The input's prompt; empty for a model without one."""
        prompt = self.input.get("prompt")
        return prompt if isinstance(prompt, str) else ""

    @property
    def starts_at_s(self) -> float:
        """When it runs, if nothing ends it before; inf when it never will."""
        return self.created_at_s + self.schedule.starting_s

    @property
    def output_at_s(self) -> float:
        """When its output is there, if nothing ends it before."""
        return self.starts_at_s + self.schedule.run_s * _OUTPUT_FRACTION

    @property
    def steps(self) -> int:
        """How many steps its progress bar counts; 0 for none."""
        return self.model.steps(self.input)

    def ending(self) -> tuple[float, Status]:
        """When it ends as things stand, and how; inf when it never will."""
        ends = [self._scripted_ending()]
        if self.deadline_s is not None:
            is_waiting = self.deadline_s < self.starts_at_s
            ends.append((self.deadline_s, Status.ABORTED if is_waiting else Status.CANCELED))
        if self.canceled_at_s is not None:
            ends.append((self.canceled_at_s, Status.CANCELED))
        return min(ends, key=lambda end: end[0])

    def at(self, now_s: float) -> Moment:
        """What it is at this moment."""
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
            fraction=1.0 if left_s < _TICK_S else ran_s / self.schedule.run_s,
            has_output=has_output and (is_over or self.output_at_s <= now_s),
        )

    def cancel(self, now_s: float) -> None:
        """Cancel it now; without effect once it is over or canceled."""
        if self.canceled_at_s is None and not self.at(now_s).is_over:
            self.canceled_at_s = now_s

    def bring_back(self, now_s: float) -> None:
        """Let it begin now if it lies ahead: the clock was set back since it was created."""
        ahead_s = self.created_at_s - now_s
        if ahead_s > 0:
            self.created_at_s -= ahead_s
            if self.deadline_s is not None:
                self.deadline_s -= ahead_s
            if self.canceled_at_s is not None:
                self.canceled_at_s -= ahead_s

    def next_change_s(self, now_s: float) -> float | None:
        """The first moment after `now_s` at which it may look different; None when it is over."""
        ends_at_s, _ = self.ending()
        if ends_at_s <= now_s:
            return None
        step_s = self.schedule.run_s / self.steps if self.steps else self.schedule.run_s / 10
        marks = [self.starts_at_s, self.output_at_s, ends_at_s]
        if now_s >= self.starts_at_s and 0 < step_s < float("inf"):
            done = int((now_s - self.starts_at_s) / step_s)
            marks += [self.starts_at_s + (done + ahead) * step_s for ahead in (1, 2)]
        return min(mark for mark in marks if mark > now_s)

    def _scripted_ending(self) -> tuple[float, Status]:
        schedule = self.schedule
        if schedule.ending is Status.ABORTED:
            return self.starts_at_s, Status.ABORTED
        if schedule.ending is Status.CANCELED:
            # Someone else loses patience half way.
            return self.starts_at_s + schedule.run_s / 2, Status.CANCELED
        return self.starts_at_s + schedule.run_s, schedule.ending
