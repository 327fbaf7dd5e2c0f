"""The last hour, minute by minute, for the small charts of the overview.

Sockets and messages are sampled by each process. Tasks are counted from the database, which has
them also after a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.task import JSONObject
from phoenix_compat.tasks.store.task_summaries import EndedTask

MINUTES: Final = 60

_SAMPLE_EVERY_S: Final = 15.0
_MINUTE_S: Final = 60


def minute_of(time_s: float) -> int:
    """The number of the minute since 1970."""
    return int(time_s // _MINUTE_S)


class SocketHistory:
    """The most sockets of this process in each minute of the last hour.

    Args:
        count: how many sockets there are.
    """

    def __init__(self, count: Callable[[], int], *, now_s: Callable[[], float] = time.time) -> None:
        self.background = BackgroundTask("console-history", self._sample)
        self._count = count
        self._now_s = now_s
        self._minutes: OrderedDict[int, int] = OrderedDict()

    @property
    def minutes(self) -> Mapping[int, int]:
        """The most sockets by the number of the minute."""
        self.note()
        return self._minutes

    def note(self) -> None:
        """Take a sample."""
        minute = minute_of(self._now_s())
        self._minutes[minute] = max(self._minutes.get(minute, 0), self._count())
        while len(self._minutes) > MINUTES:
            self._minutes.popitem(last=False)

    async def _sample(self) -> None:
        while True:
            self.note()
            await asyncio.sleep(_SAMPLE_EVERY_S)


def sockets_by_minute(processes: Iterable[Mapping[int, int]], now_s: float) -> list[int | None]:
    """The sockets of all processes in each of the last minutes, oldest first; None if unknown."""
    known = list(processes)
    last = minute_of(now_s)
    found: list[int | None] = []
    for minute in range(last - MINUTES + 1, last + 1):
        values = [one[minute] for one in known if minute in one]
        found.append(sum(values) if values else None)
    return found


def tasks_by_minute(ended: Sequence[EndedTask], now_s: float) -> JSONObject:
    """What ended in each of the last minutes, oldest first.

    `median_s` is the time from the order to the result of the tasks that completed then, in
    seconds; None if there were none.
    """
    from statistics import median  # noqa: PLC0415 - half a megabyte that only the console needs

    first = minute_of(now_s) - MINUTES + 1
    completed: list[list[float]] = [[] for _ in range(MINUTES)]
    failed = [0] * MINUTES
    for task in ended:
        index = minute_of(task.completed_at.timestamp()) - first
        if not 0 <= index < MINUTES:
            continue
        if task.is_completed:
            completed[index].append((task.completed_at - task.created_at).total_seconds())
        else:
            failed[index] += 1
    return {
        "completed": [len(times) for times in completed],
        "failed": failed,
        "median_s": [round(median(times), 2) if times else None for times in completed],
    }
