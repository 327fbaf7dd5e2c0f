"""The log lines that operators see: filters, pages, and several processes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from phoenix_compat.server.inspection.log_lines import LogLines, LogQuery
from phoenix_compat.server.inspection.processes import OneProcess
from phoenix_compat.server.process.logs.recent_lines import RecentLines


@pytest.fixture
def recent() -> RecentLines:
    """Five lines about tasks and owners."""
    lines = RecentLines()
    for level, event, fields in (
        ("debug", "task.polled", {"task_id": "t-1"}),
        ("info", "task.queued", {"task_id": "t-1", "owner": "ann"}),
        ("info", "task.queued", {"task_id": "t-2", "owner": "bob"}),
        ("warning", "provider.circuit", {"state": "open"}),
        ("error", "task.crashed", {"task_id": "t-2", "exception": "ValueError: bad"}),
    ):
        lines.remember(None, "", {"level": level, "event": event, "logger": "tasks", **fields})
    return lines


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"level": "info"}, [2, 3, 4, 5]),
        ({"level": "warning"}, [4, 5]),
        ({"task": "t-1"}, [1, 2]),
        ({"owner": "bob"}, [3]),
        ({"text": "ValueError"}, [5]),
        ({"text": "queued", "task": "t-2"}, [3]),
        ({"after": {"0": 3}}, [4, 5]),
        ({"after": {"7": 3}}, [1, 2, 3, 4, 5]),
        ({"limit": 2}, [4, 5]),
        ({"after": {"0": 99}}, [1, 2, 3, 4, 5]),
        ({"after": {"0": 5}}, []),
    ],
)
async def test_filters(recent: RecentLines, query: dict[str, Any], numbers: list[int]) -> None:
    """By level, task, owner and text; the newest ones, or those after the last time.

    A process that was restarted counts from 1 again.
    """
    logs = LogLines(OneProcess(), recent)

    page = await logs.list(msgspec.convert(query, LogQuery))

    assert [line.number for line in page.lines] == numbers
    assert (page.after["0"], page.kept, page.silent) == (5, 5, ())


async def test_an_answer_is_bounded(recent: RecentLines) -> None:
    """Of many long lines the newest are given."""
    for number in range(500):
        recent.remember(None, "", {"level": "info", "event": f"{number} " + "words " * 500})
    logs = LogLines(OneProcess(), recent)

    page = await logs.list(LogQuery(limit=1_000))

    assert 100 < len(page.lines) < 200
    assert page.lines[-1].event.startswith("499 ")
    assert page.after == {"0": 505}


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 1_001}, {"level": "all"}, {"tsk": "x"}])
def test_queries_are_checked(bad: dict[str, Any]) -> None:
    """What cannot be meant is refused."""
    with pytest.raises(msgspec.ValidationError, match=next(iter(bad))):
        msgspec.convert(bad, LogQuery)
