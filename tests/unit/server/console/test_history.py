"""The last hour, minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from phoenix_compat.server.console.history import (
    MINUTES,
    SocketHistory,
    sockets_by_minute,
    tasks_by_minute,
)
from phoenix_compat.tasks.store.task_summaries import EndedTask

NOW = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)


def ended(minutes_ago: float, took_s: float = 4.0, *, is_completed: bool = True) -> EndedTask:
    """A task that ended some minutes ago."""
    at = NOW - timedelta(minutes=minutes_ago)
    return EndedTask(is_completed, at - timedelta(seconds=took_s), at, None)


def test_tasks_by_minute() -> None:
    """The newest minute is the last; older tasks than an hour, or from the future, do not count."""
    tasks = [ended(0, 2.0), ended(0, 4.0), ended(1, is_completed=False), ended(61), ended(-2)]

    hour = tasks_by_minute(tasks, NOW.timestamp())

    assert hour["completed"][-2:] == [0, 2]
    assert hour["failed"][-2:] == [1, 0]
    assert hour["median_s"][-2:] == [None, 3.0]
    assert all(len(values) == MINUTES for values in hour.values())
    assert sum(hour["completed"]) == 2


def test_sockets_by_minute() -> None:
    """The most of each minute counts, over all processes; memory is bounded."""
    now_s, count = 0.0, 0
    history = SocketHistory(lambda: count, now_s=lambda: now_s)

    for minute in range(100):
        now_s = minute * 60.0
        for sockets in (5, minute, 2):
            count = sockets
            history.note()
    found = sockets_by_minute([history.minutes, {99: 7}], now_s)

    assert len(history.minutes) == MINUTES
    assert found[-2:] == [98, 99 + 7]
    assert sockets_by_minute([{0: 3}], 120.0)[-3:] == [3, None, None]
