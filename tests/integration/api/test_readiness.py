"""`/readyz`: 503, with the reason, while a background task is down or the store does not work."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phoenix_compat.server.process.maintenance import Maintenance
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite import database
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.dispatch.runs import Runs
from phoenix_compat.tasks.worker.run_state import TaskRun
from tests.integration.operations.commands import finish, server
from tests.integration.store.unreadable_harness import SECRET, put
from tests.integration.task_server import Client, product, settings_for
from tests.integration.worker.worker_harness import FAST, SCHEMA, task_params
from tests.logged import logged_lines
from tests.patience import patient

TIMEOUT_S = 30.0
MONK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


async def until_ready(client: Client, status: int) -> Any:
    """Request /readyz until the response has this status; returns the body."""
    async with asyncio.timeout(patient(TIMEOUT_S)):
        while True:
            found, body = await client.request("GET", "/readyz")
            if found == status:
                return body
            await asyncio.sleep(0.01)


async def test_a_dispatcher_that_dies_is_reported_and_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with its name while it is down, then 200 again, and the waiting task completes."""
    failures = [RuntimeError(SECRET), RuntimeError(SECRET)]
    due = TaskStore.due

    async def fail_twice(store: TaskStore, limit: int) -> Sequence[Task]:
        if failures:
            raise failures.pop()
        return await due(store, limit)

    with logged_lines() as logs:
        async with product(settings_for(tmp_path)) as client:
            before, _ = await client.request("GET", "/readyz")
            monkeypatch.setattr(TaskStore, "due", fail_twice)
            task_id = await client.post()
            down = await until_ready(client, 503)
            alive, _ = await client.request("GET", "/healthz")
            done = await client.ended(task_id)
            up = await until_ready(client, 200)

    assert before == alive == 200
    assert down["status"] == "unavailable"
    assert down["background"]["dispatcher"]["state"] == "restarting"
    assert "RuntimeError" in down["background"]["dispatcher"]["reason"]
    assert SECRET not in str(down)
    assert done["status"] == "completed"
    assert up["background"]["dispatcher"] == {"state": "running", "restarts": 2}
    ended = [line for line in logs if line["event"] == "background.ended"]
    assert [line["task"] for line in ended] == ["dispatcher", "dispatcher"]


async def test_maintenance_that_dies_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The maintenance task is watched as well."""
    failures = [RuntimeError()]

    async def fail_once(_maintenance: Maintenance) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(Maintenance, "_prune", fail_once)
    async with product(settings_for(tmp_path)) as client:
        down = await until_ready(client, 503)
        up = await until_ready(client, 200)

    assert down["background"]["maintenance"]["state"] == "restarting"
    assert up["background"]["maintenance"]["restarts"] == 1


async def test_a_bug_with_one_task_ends_that_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That task fails, the next one completes, and the dispatcher is not restarted."""
    begin = Runs._begin
    unlucky: list[str] = []

    def fail_for_one(runs: Runs, task: Task, run: TaskRun) -> None:
        if not unlucky:
            unlucky.append(task.id)
            raise RuntimeError
        begin(runs, task, run)

    monkeypatch.setattr(Runs, "_begin", fail_for_one)
    async with product(settings_for(tmp_path)) as client:
        failed = await client.ended(await client.post())
        done = await client.ended(await client.post())
        _, state = await client.request("GET", "/readyz")

    assert failed["error_data"]["code"] == "internal_error"
    assert done["status"] == "completed"
    assert state["background"]["dispatcher"] == {"state": "running", "restarts": 0}


async def test_a_restarted_dispatcher_continues_with_left_over_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that was left over from the last run, and had not begun, is not forgotten."""
    path = tmp_path / "tasks.sqlite3"
    async with await open_task_store(path, SCHEMA) as store:
        task = await store.add(task_params())
    await asyncio.to_thread(put, path, "tasks", "status", "submitting", task.number)
    failures = [RuntimeError()]
    begin = Runs.begin

    async def fail_once(runs: Runs, task: Task, run: TaskRun) -> None:
        if failures:
            raise failures.pop()
        await begin(runs, task, run)

    monkeypatch.setattr(Runs, "begin", fail_once)
    async with product(settings_for(tmp_path), FAST) as client:
        watch = await client.watch(task.id)
        ended = (await watch.to_the_end())[-1]

    assert ended["status"] in {"completed", "failed"}


async def test_a_database_that_was_moved_away_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any request; after it is moved back the server is ready again. No path is shown."""
    monkeypatch.setattr(database, "PROBE_INTERVAL_S", 0.01)
    path, away = tmp_path / "tasks.sqlite3", tmp_path / "away"
    async with product(settings_for(tmp_path)) as client:
        await until_ready(client, 200)
        path.rename(away)
        down = await until_ready(client, 503)
        away.rename(path)
        up = await until_ready(client, 200)

    assert down["status"] == "unavailable"
    assert down["store"] == {
        "state": "unavailable",
        "reason": "the database file was removed or replaced",
    }
    assert str(tmp_path) not in str(down)
    assert up["store"] == {"state": "available"}


async def test_a_failed_write_is_reported_until_one_succeeds(tmp_path: Path) -> None:
    """It is reported even without further requests; a small test write finds when it is over."""
    async with product(settings_for(tmp_path)) as client:
        await until_ready(client, 200)
        with closing(sqlite3.connect(tmp_path / "tasks.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            refused, _ = await client.request("POST", "/api/tasks", json=MONK)
            down = await until_ready(client, 503)
            other.execute("ROLLBACK")
        up = await until_ready(client, 200)

    assert refused == 503
    assert "locked" in down["store"]["reason"]
    assert up["status"] == "ready"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"f_flag": os.ST_RDONLY}, "the file system is read-only"),
        ({"f_bfree": 3, "f_bavail": 3}, "the disk is full"),
    ],
    ids=["read-only", "full"],
)
async def test_a_disk_that_takes_nothing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, int], reason: str
) -> None:
    """D2: before a task is lost to it, and until the disk takes something again."""
    monkeypatch.setattr(database, "PROBE_INTERVAL_S", 0.01)
    statvfs = os.statvfs

    def changed(path: Path) -> Any:
        found = statvfs(path)
        names = [name for name in dir(found) if name.startswith("f_")]
        return SimpleNamespace(**{name: getattr(found, name) for name in names} | change)

    async with product(settings_for(tmp_path)) as client:
        await until_ready(client, 200)
        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", changed)
            down = await until_ready(client, 503)
        up = await until_ready(client, 200)

    assert down["status"] == "unavailable"
    assert down["store"] == {"state": "unavailable", "reason": reason}
    assert up["store"] == {"state": "available"}


async def test_the_database_is_checked_only_so_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many requests at once cost one check, and none of them writes while the store works."""
    async with await open_task_store(tmp_path / "tasks.db", SCHEMA) as store:
        checks: list[None] = []
        check = database.SQLiteDatabase._probe

        async def count(opened: database.SQLiteDatabase) -> None:
            checks.append(None)
            await check(opened)

        monkeypatch.setattr(database.SQLiteDatabase, "_probe", count)
        troubles = [await store.health_error() for _ in range(50)]
        batches = store.write_counts.batches

    assert troubles == [None] * 50
    assert (len(checks), batches) == (1, 0)


async def test_a_server_starts_on_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    """A real server: other tasks complete, it is ready, and the log names task and column only."""
    path = tmp_path / "tasks.sqlite3"
    async with await open_task_store(path, SCHEMA) as store:
        bad, good = await store.add(task_params()), await store.add(task_params())
        late = await store.add(task_params())
    await asyncio.to_thread(put, path, "tasks", "input", "{" + SECRET, bad.number)
    await asyncio.to_thread(
        put, path, "tasks", "not_before", "2026-99-99T99:99:99.999Z", late.number
    )

    changes = {"PHOENIX_COMPAT_LOG_FORMAT": "json", "PHOENIX_COMPAT_EMULATOR_SPEED": "50"}
    arguments = ("-m", "phoenix_compat", "serve", "--data-dir", str(tmp_path), "--port", "0")
    async with server(*arguments, **changes) as (process, url):
        async with Client.of(url) as client:
            done = await client.ended(good.id)
            shown = [
                (await client.request("GET", f"/api/tasks/{one.id}"))[1] for one in (bad, late)
            ]
            ready, _ = await client.request("GET", "/readyz")
        process.terminate()
        finished = await finish(process)

    assert (done["status"], ready) == ("completed", 200)
    assert [task["error_data"]["code"] for task in shown] == ["internal_error"] * 2
    logged = [json.loads(line) for line in finished.err.splitlines() if "task.set_aside" in line]
    assert {(line["task_id"], *line["columns"]) for line in logged} == {
        (bad.id, "input"),
        (late.id, "not_before"),
    }
    assert SECRET not in finished.err
