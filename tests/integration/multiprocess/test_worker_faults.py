"""A task server with several processes, when one of them hangs or its configuration is edited."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import StoreInUseError
from phoenix_compat.tasks.store.sqlite.database_file import locked_folder
from tests.integration.multiprocess.multiprocess_harness import gone, multiprocess_server
from tests.integration.multiprocess.test_workers_tasks import SERVE, tasks
from tests.integration.task_server import SPEED
from tests.patience import patient


async def test_a_leader_that_hangs_is_replaced(tmp_path: Path) -> None:
    """E3, D4: a request through the other process is answered with 503 after some seconds, then the
    leader is killed, and requests succeed again; the stop is not delayed."""
    async with tasks(tmp_path) as processes:
        leader = await processes.leader()
        other = await processes.connect(1 - leader)
        pid = await processes.pid(leader)
        began_s = asyncio.get_running_loop().time()

        os.kill(pid, signal.SIGSTOP)
        answer = await other.request("GET", "/api/tasks", timeout_s=patient(20.0))
        took_s = asyncio.get_running_loop().time() - began_s
        await gone(pid)

        assert answer.status == 503
        assert b"does not answer" in answer.body
        assert answer.header("retry-after")
        assert took_s < patient(10.0)
        status, _ = await processes.request(1 - leader, "GET", "/api/tasks")
        assert status == 200


def test_two_supervisors_do_not_share_a_data_directory(tmp_path: Path) -> None:
    """E6: of two that start at the same moment, one is told that the other has the data."""
    database = tmp_path / "tasks.sqlite3"
    with (
        locked_folder(database),
        pytest.raises(StoreInUseError, match="another process is using it"),
        locked_folder(database),
    ):
        pass

    with locked_folder(database):
        pass


async def test_an_edited_configuration_changes_nothing_without_a_reload(tmp_path: Path) -> None:
    """E1, E2: a process that is restarted uses the settings of the start, even if the file names
    another data directory now or cannot be read; after a refused reload, too."""
    config = tmp_path / "c.toml"
    config.write_text(f'data_dir = "one"\nemulator_speed = {SPEED}\n')
    command = (*SERVE, "--config", str(config))
    async with multiprocess_server(*command, data_dir=tmp_path / "one") as processes:
        task_id = await processes.post(0)

        for text in ('data_dir = "two"\n', 'port = "wrong"\n', "[[["):
            config.write_text(text)
            processes.process.send_signal(signal.SIGHUP)
            await processes.kill(0)
            status, shown = await processes.request(0, "GET", f"/api/tasks/{task_id}")
            assert (status, shown["task_id"]) == (200, task_id)

        assert not (tmp_path / "two").exists()
