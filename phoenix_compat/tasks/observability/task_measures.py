"""What the worker counts for operators: tasks, creates, money, and how long things take.

Everything is plain numbers since the start of this process. The models of tasks become labels, and
clients may choose models; so each table has a limit, see `measures.MAX_ROWS`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from phoenix_compat.measures import MAX_ROWS, CountTable, Histogram, HistogramTable, Labels
from phoenix_compat.tasks.model.task import Task, TaskStatus

TASK_BOUNDS_S: Final = (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""From the order of a picture to a long video."""
WAIT_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
REQUEST_BOUNDS_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MAX_RECENT: Final = 5_000
"""How many ended tasks are remembered for `RecentTasks`; the oldest are forgotten."""
RECENT_S: Final = 3_600.0
_MINUTE_S: Final = 60.0
_CREATE_RESULTS: Final = ("ok", "throttled", "refused", "unreachable", "uncertain")


class RecentTasks(NamedTuple):
    """The tasks that ended lately.

    Attributes:
        ended_per_minute: how many ended in the last minute.
        failed_per_minute: how many of them failed.
        p50_s, p95_s: the time from the order to the result that half, and 95 %, of the tasks took
            that completed in the last hour; None if there were none.
    """

    ended_per_minute: int
    failed_per_minute: int
    p50_s: float | None
    p95_s: float | None


class _Ended(NamedTuple):
    at_s: float
    took_s: float
    is_completed: bool


class TaskMeasures:
    """The numbers; see the module docstring.

    Args:
        now_s: a monotonic clock.

    Attributes:
        queued: tasks that were added, and failed ones that a client had retried.
        queue_wait: how long tasks waited for their first create.
        duration: how long completed tasks took, by type and model.
        ended: ended tasks by status and error code; the code of completed ones is "".
        creates: creates by result: ok, throttled, refused, unreachable (never sent) and uncertain
            (the answer was lost).
        requests: how long calls of the provider took, by operation and result.
        spend_usd: estimated cost of the predictions that were created, by model.
        fallbacks: tasks that were given to a fallback model, by the model that was unavailable.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.queued = 0
        self.queue_wait = Histogram(WAIT_BOUNDS_S)
        self.duration = HistogramTable(("type", "model"), TASK_BOUNDS_S)
        self.ended = CountTable(("status", "code"))
        self.creates: Counter[str] = Counter(dict.fromkeys(_CREATE_RESULTS, 0))
        self.requests = HistogramTable(("operation", "result"), REQUEST_BOUNDS_S)
        self.spend_usd = CountTable(("model",))
        self.fallbacks = CountTable(("model", "fallback"))
        self._fell_back_at_s: dict[Labels, float] = {}
        self._now_s = now_s
        self._recent: deque[_Ended] = deque(maxlen=MAX_RECENT)

    def note_start(self, task: Task, now: datetime) -> None:
        """Note that a task's first create is about to be sent."""
        if task.cycle == 1 and task.retries == 0:
            self.queue_wait.observe((now - task.created_at).total_seconds())

    def note_prediction(self, task: Task) -> None:
        """Note that a create has made a prediction, which will be billed."""
        self.spend_usd.add((task.running_model,), task.estimated_cost_usd or 0.0)

    def note_fallback(self, model: str, fallback: str) -> None:
        """Note that a task goes on with a fallback model."""
        self.fallbacks.add((model, fallback))
        at_s = self._fell_back_at_s
        if (model, fallback) in at_s or len(at_s) < MAX_ROWS:
            at_s[model, fallback] = self._now_s()

    def fell_back_s_ago(self, model: str, fallback: str) -> float | None:
        """How long ago that happened last, in seconds; None if it is not known."""
        at_s = self._fell_back_at_s.get((model, fallback))
        return None if at_s is None else self._now_s() - at_s

    def note_end(self, task: Task) -> float:
        """Note that a task has ended; returns how long it took, in seconds."""
        took_s = duration_s(task)
        is_completed = task.status is TaskStatus.COMPLETED
        code = "" if is_completed else str((task.error_data or {}).get("code", ""))
        self.ended.add((task.status.value, code))
        if is_completed:
            self.duration.observe((task.type, task.running_model), took_s)
        self._recent.append(_Ended(self._now_s(), took_s, is_completed))
        return took_s

    def recent(self) -> RecentTasks:
        """What the tasks of the last hour say."""
        now_s = self._now_s()
        while self._recent and self._recent[0].at_s < now_s - RECENT_S:
            self._recent.popleft()
        last = [one for one in self._recent if one.at_s >= now_s - _MINUTE_S]
        times = sorted(one.took_s for one in self._recent if one.is_completed)
        return RecentTasks(
            ended_per_minute=len(last),
            failed_per_minute=sum(not one.is_completed for one in last),
            p50_s=_quantile(times, 0.5),
            p95_s=_quantile(times, 0.95),
        )


def duration_s(task: Task) -> float:
    """How long an ended task took from its order, in seconds.

    A task that a client retried is counted from the first create of the last cycle, because the
    time of the retry is not in its row.
    """
    began = task.created_at if task.cycle == 1 else task.submitted_at or task.updated_at
    return max(((task.completed_at or task.updated_at) - began).total_seconds(), 0.0)


def _quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
