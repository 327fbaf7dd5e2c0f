"""For another's task the database runs the same statements as for a missing one.

Otherwise the time of an answer would tell whether a task exists.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from phoenix_compat.server.channel.task_channel import TaskChannel
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from tests.integration.ownership.ownership_harness import (
    ADA,
    BOB,
    MISSING_ID,
    Owners,
    as_owner,
    open_owners,
    stored_rows,
)
from tests.integration.ownership.test_crosswise import BY_ID, ENDLESS, EVENTS
from tests.integration.store.sqlite_connection import on_connection
from tests.integration.store.stored_tasks import moved
from tests.integration.store.unreadable_harness import put
from tests.wire import PhoenixWire

Ask = Callable[[str], Awaitable[Any]]

STATES: Final = ("queued", "running", "completed", "failed", "announced", "unreadable")


@asynccontextmanager
async def recorded_statements(owners: Owners) -> AsyncIterator[list[str]]:
    """The statements that both connections run, with their values."""
    database = owners.harness.store._database
    assert isinstance(database, SQLiteDatabase)
    statements: list[str] = []

    def record(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.append)

    await database.write(on_connection(record))
    await database._reader.set_trace_callback(statements.append)
    statements.clear()
    yield statements
    await database.write(on_connection(lambda connection: connection.set_trace_callback(None)))
    await database._reader.set_trace_callback(lambda _statement: None)


async def statements_of(owners: Owners, ask: Ask, task_id: str) -> tuple[Any, list[str]]:
    """The answer about a task, and the statements that it took, with the id replaced."""
    async with recorded_statements(owners) as statements:
        answer = await ask(task_id)
        found = [text.replace(task_id, "<id>") for text in statements]
    return answer, found


async def task_of_ada(owners: Owners, path: Path, state: str) -> Task:
    """A task of Ada in a state; "announced" ones are remembered by the feed."""
    task = await owners.add(ADA, notes="x" * 100_000)
    states = {
        "running": (TaskStatus.SUBMITTING, TaskStatus.RUNNING),
        "completed": (TaskStatus.SUBMITTING, TaskStatus.RUNNING, TaskStatus.COMPLETED),
        "failed": (TaskStatus.FAILED,),
    }
    task = await moved(owners.harness.store, task, *states.get(state, ()))
    if state == "announced":
        owners.feed.announce(task)
    if state == "unreadable":
        await asyncio.to_thread(put, path, "tasks", "input", "{", task.number)
    return task


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("route", sorted(BY_ID - ENDLESS))
async def test_a_route_runs_the_same_statements(path: Path, route: str, state: str) -> None:
    """In number, text and values, whatever state the other's task is in."""
    method, pattern = route.split(" ")
    async with open_owners(path) as owners:
        task = await task_of_ada(owners, path, state)
        before = await stored_rows(owners.harness)

        async def ask(task_id: str) -> tuple[int, str]:
            url = pattern.format(task_id=task_id)
            async with owners.http.request(method, url, headers=as_owner(BOB)) as answer:
                return answer.status, await answer.text()

        foreign = await statements_of(owners, ask, task.id)
        missing = await statements_of(owners, ask, MISSING_ID)

        assert foreign == missing
        assert foreign[1]
        assert await stored_rows(owners.harness) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
async def test_an_event_runs_the_same_statements(path: Path, event: str, state: str) -> None:
    """Of the channel's events only a join reads the database; the reply is the same."""
    async with open_owners(path) as owners:
        task = await task_of_ada(owners, path, state)
        before = await stored_rows(owners.harness)
        wire = await owners.connect(BOB)

        async def ask(task_id: str) -> Any:
            reply = await wire.ask(EVENTS[event](f"task:{task_id}", "1"))
            return reply[3:]

        foreign = await statements_of(owners, ask, task.id)
        missing = await statements_of(owners, ask, MISSING_ID)

        assert foreign == missing
        assert bool(foreign[1]) is (event == "phx_join")
        assert await stored_rows(owners.harness) == before


@pytest.mark.parametrize("event", sorted(TaskChannel.handlers))
async def test_a_watcher_by_link_finds_what_it_may_not_change_missing(
    path: Path, event: str
) -> None:
    """Who joined by the id alone reads the state; a cancel is like that of a missing task."""
    async with open_owners(path, "link") as owners:
        foreign = await task_of_ada(owners, path, "queued")
        gone = await task_of_ada(owners, path, "queued")
        wire = await owners.connect(BOB)
        for task in (foreign, gone):
            await wire.send([task.id, "join", f"task:{task.id}", "phx_join", {}])
            await wire.recv_many(2)
        await owners.harness.store._database.write(
            lambda transaction: transaction.execute("DELETE FROM tasks WHERE id = ?", (gone.id,))
        )
        before = await stored_rows(owners.harness)

        async def ask(task_id: str) -> Any:
            reply = await _push(wire, task_id, event)
            response = reply[4]["response"]
            return reply[4]["status"], response | {"task_id": "", "timestamp": ""}

        answers = [await statements_of(owners, ask, task.id) for task in (foreign, gone)]

        assert answers[0] == answers[1]
        assert answers[0][0][0] == ("error" if event == "cancel" else "ok")
        assert await stored_rows(owners.harness) == before


async def _push(wire: PhoenixWire, task_id: str, event: str) -> Any:
    return await wire.ask([task_id, "push", f"task:{task_id}", event, {}])
