"""The overview of one process, and of several."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.process.config.reload import RELOADABLE_SETTINGS
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.console.console_harness import console_of
from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.integration.task_server import settings_for
from tests.patience import patient
from tests.wire import PhoenixWire

TARGET = "/console/socket/websocket?vsn=2.0.0"


async def overview(wire: PhoenixWire, topic: str = "admin:overview") -> dict[str, Any]:
    """What a join is answered with."""
    reply = await wire.ask(["1", "1", topic, "phx_join", {}])
    assert reply[4]["status"] == "ok", reply
    return dict(reply[4]["response"])


async def snapshot_with(wire: PhoenixWire, name: str, value: int) -> dict[str, Any]:
    """The first broadcast whose number of tasks has this value."""
    async with asyncio.timeout(patient(30.0)):
        while True:
            _, _, _, event, payload = await wire.recv()
            if event == "snapshot" and (payload["tasks"] or {}).get(name) == value:
                return dict(payload)


async def test_the_numbers_move(tmp_path: Path) -> None:
    """A task that completes is counted, with its time and cost; an emulated server says so."""
    async with console_of(tmp_path, total_usd_per_day=5.0) as console:
        wire = await console.connect()
        first = await overview(wire)
        await console.client.ended(await console.client.post())
        seen = await snapshot_with(wire, "ended_per_minute", 1)
        again = await console.connect()
        joined = await overview(again)
        await wire.close()
        await again.close()

    assert first["tasks"]["completed"] == 0
    assert first["store"] == "available"
    assert [item["title"] for item in first["attention"]] == ["No Replicate token is set"]
    assert seen["tasks"]["p50_s"] > 0
    assert seen["tasks"]["spend_today_usd"] == 0.02
    assert seen["cap_usd"] == 5.0
    assert joined["tasks"]["tasks_today"] == 1
    assert len(joined["hour"]["sockets"]) == 60


async def test_a_reload_is_seen(tmp_path: Path) -> None:
    """The cap and the number of tasks at once are those that hold now."""
    async with console_of(tmp_path) as console:
        changed = {"concurrency": 3, "total_usd_per_day": 7.0}
        settings = settings_for(tmp_path).model_copy(update=changed)
        await console.app[RELOADABLE_SETTINGS].apply(settings)
        wire = await console.connect()
        seen = await overview(wire)
        await wire.close()

    assert {name: seen[name] for name in ("concurrency", "cap_usd")} == {
        "concurrency": 3,
        "cap_usd": 7.0,
    }


async def test_a_database_that_fails_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overview stays, and says what is wrong."""

    async def fail(_store: TaskStore) -> None:
        raise StoreUnavailableError("the disk is full")

    async with console_of(tmp_path) as console:
        monkeypatch.setattr(TaskStore, "oldest_queued_at", fail)
        wire = await console.connect()
        seen = await overview(wire)
        await wire.close()

    assert seen["store"] == "the disk is full"
    assert seen["attention"][0]["level"] == "bad"


async def test_only_watched_topics_are_read(tmp_path: Path) -> None:
    """When the last console is closed, nothing is read any more."""
    async with console_of(tmp_path) as console:
        report = console.app_background
        wire = await console.connect()
        await overview(wire)
        watched = set(report())
        await wire.close()
        async with asyncio.timeout(patient(10.0)):
            while "console-admin:overview" in report():  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.02)

    assert "console-admin:overview" in watched


async def test_every_process_shows_the_whole_server(tmp_path: Path) -> None:
    """Whichever process a console reaches, it has the numbers, the list and the changes."""
    arguments = ("-m", "phoenix_compat", "serve", "--port", "0", "--data-dir", str(tmp_path))
    speed = "20"
    async with multiprocess_server(
        *arguments, data_dir=tmp_path, PHOENIX_COMPAT_EMULATOR_SPEED=speed
    ) as server:
        wires = [await server.wire(node, TARGET) for node in range(2)]
        seen = [await overview(wire) for wire in wires]
        lists = [await server.wire(node, TARGET) for node in range(2)]
        for wire in lists:
            await overview(wire, "admin:tasks")
        task_id = await server.post(1, "Medieval monk")
        changed = [await _picture_of(wire, task_id) for wire in lists]
        pages = [(await server.request(node, "GET", "/api/console/tasks"))[1] for node in range(2)]
        numbers = [await snapshot_with(wire, "ended_per_minute", 1) for wire in wires]
        for wire in (*wires, *lists):
            await wire.close()

    assert [one["processes"] for one in seen] == [2, 2]
    assert [one["missing_processes"] for one in seen] == [0, 0]
    assert changed[0] == changed[1]
    assert [[row["task_id"] for row in page["tasks"]] for page in pages] == [[task_id]] * 2
    assert [one["tasks"]["tasks_today"] for one in numbers] == [1, 1]


async def _picture_of(wire: PhoenixWire, task_id: str) -> str:
    """The path of a task's picture, from the changes."""
    async with asyncio.timeout(patient(30.0)):
        while True:
            _, _, _, event, payload = await wire.recv()
            for task in payload.get("tasks", ()) if event == "changed" else ():
                if task["task_id"] == task_id and "picture" in task:
                    return str(task["picture"]["path"])
