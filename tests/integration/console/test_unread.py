"""A console that does not read what it is sent: it is closed at the bound, and counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import pytest_asyncio

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.console import mounting, task_changes
from phoenix_compat.server.process.logs.recent_lines import recent_lines
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from tests.integration.console.console_harness import Console, console_of
from tests.patience import patient

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_EVENT_BYTES: Final = 512 * 2**10
TEXT: Final = "A long answer. " * 20


class Recorded(task_changes.TaskChanges):
    """The changes of the last server."""

    last: Recorded

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.endpoint = endpoint
        Recorded.last = self

    @property
    def unsent_bytes(self) -> int:
        """What waits for all consoles together."""
        return sum(server.outbox.unsent_bytes for server in self.endpoint.clients)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server whose consoles are told of changes all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mounting, "TaskChanges", Recorded)
        patch.setattr(task_changes, "INTERVAL_S", 0.001)
        async with console_of(tmp_path_factory.mktemp("unread")) as opened:
            yield opened


async def closed_consoles(console: Console) -> int:
    """How many were closed because they did not read."""
    _, text, _ = await console.get("/metrics")
    found = re.search(r"^phoenix_compat_console_slow_clients_total (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def written(number: int) -> Task:
    """A task that has written a text."""
    now = datetime(2026, 1, 5, tzinfo=UTC)
    return Task(
        id=TaskId(f"task-{number}"),
        number=number,
        type="text",
        task_type="text",
        model="meta/meta-llama-3-8b-instruct",
        input_data={},
        provider_input={},
        fingerprint="",
        status=TaskStatus.RUNNING,
        created_at=now,
        updated_at=now,
        progress=0.5,
        result_data={"text": TEXT},
    )


async def test_changes_that_nobody_reads(console: Console) -> None:
    """The server keeps at most the limit and one event; others go on to hear every change."""
    before = await closed_consoles(console)
    changes = Recorded.last
    limit_bytes = changes.endpoint.limits.max_outbox_bytes
    deaf, good = await console.connect(), await console.connect()
    await deaf.join("admin:tasks")
    await good.join("admin:tasks")
    most_bytes, closed = 0, 0

    async with asyncio.timeout(patient(20.0)):
        while not closed:
            for number in range(task_changes.MAX_TASKS):
                changes.note(written(number))
            event: Any = None
            while event != task_changes.CHANGED:
                event = (await good.recv())[3]
            most_bytes = max(most_bytes, changes.unsent_bytes)
            closed = changes.endpoint.counters.slow_clients_closed - before
    await good.close()
    await deaf.close()

    assert closed == 1
    assert await closed_consoles(console) == before + 1
    assert 0 < most_bytes <= limit_bytes + MAX_EVENT_BYTES


async def test_answers_that_nobody_reads(console: Console) -> None:
    """The same for one that goes on to ask for the log lines."""
    before = await closed_consoles(console)
    changes = Recorded.last
    for number in range(1_000):
        recent_lines.remember(None, "", {"event": TEXT, "level": "info", "number": number})
    deaf = await console.connect()
    await deaf.join("admin:logs")
    asked = most_bytes = 0

    async with asyncio.timeout(patient(20.0)):
        while changes.endpoint.counters.slow_clients_closed == before:
            asked += 1
            await deaf.send(["1", str(asked), "admin:logs", "list", {"limit": 1_000}])
            await asyncio.sleep(0.01)
            most_bytes = max(most_bytes, changes.unsent_bytes)
    await deaf.close()

    assert await closed_consoles(console) == before + 1
    assert most_bytes <= changes.endpoint.limits.max_outbox_bytes + 2 * MAX_EVENT_BYTES
