"""SIGHUP: what changes under way, what needs a restart, and a file that is wrong."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.integration.multiprocess.multiprocess import company
from tests.integration.operations.commands import finish, server
from tests.integration.task_server import Client
from tests.patience import patient

COMMAND = ("-m", "phoenix_compat", "serve", "--port", "0")


async def log_to(process: asyncio.subprocess.Process, word: str) -> list[str]:
    """The log from here up to a line that has a word."""
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(patient(20.0)):
        while line := (await process.stderr.readline()).decode():
            lines.append(line)
            if word in line:
                return lines
    raise AssertionError(f"the log ended without {word!r}")


async def said(process: asyncio.subprocess.Process, word: str) -> str:
    """The next line of the log that has a word."""
    return (await log_to(process, word))[-1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "c.toml"
    path.write_text('log_level = "warning"\ndata_dir = "data"\nemulator_speed = 20')
    return path


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines))


async def test_a_hangup_takes_over_what_may_change(config: Path, tmp_path: Path) -> None:
    """A new default model is ordered from now on; a new port is told as needing a restart; a file
    with mistakes changes nothing."""
    data = 'data_dir = "data"'
    write(tmp_path / "task_types.toml", "[poster]", 'task_type = "poster_gen"', 'result = "image"')
    with (tmp_path / "task_types.toml").open("a") as task_types:
        task_types.write('\ndefault_model = "owner/poster"\n')
    async with (
        server(*COMMAND, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)
        write(config, data, 'port = "x"', "concurrency = 0")
        process.send_signal(signal.SIGHUP)
        refused = await said(process, "config.refused")
        before = await client.post()

        write(
            *(config, data, "emulator_speed = 20", 'log_level = "info"', "show_watchers = true"),
            *(
                'default_model = "black-forest-labs/flux-schnell"',
                'task_types_file = "task_types.toml"',
            ),
        )
        process.send_signal(signal.SIGHUP)
        reloaded = await said(process, "config.reloaded")
        after = await client.post()
        models = [
            (await client.request("GET", f"/api/tasks/{task}"))[1]["model"]
            for task in (before, after)
        ]
        poster = await client.post(type="poster")

        process.send_signal(signal.SIGTERM)
        finished = await finish(process)

    assert "concurrency (" in refused
    assert "must be a whole number from 1 to 100, not 0" in refused
    assert "changed=['default_model', 'log_level', 'task_types_file']" in reloaded
    assert "needs_restart=['show_watchers']" in reloaded
    assert models == ["google/imagen-4-fast", "black-forest-labs/flux-schnell"]
    assert poster
    assert finished.code == 0


async def test_the_supervisor_hands_the_hangup_on(config: Path, tmp_path: Path) -> None:
    """With two processes both take over the change, and both go on serving."""
    async with company(*COMMAND, "--config", str(config)) as scene:
        write(config, 'data_dir = "data"', "emulator_speed = 20", "concurrency = 3")

        scene.process.send_signal(signal.SIGHUP)
        lines = [await said(scene.process, "config.reloaded") for _ in range(2)]

        status, _ = await scene.request(1, "GET", "/api/tasks")
    assert all("'concurrency'" in line for line in lines)
    assert status == 200


async def test_the_supervisor_s_own_log_follows_too(config: Path, tmp_path: Path) -> None:
    """Of its beats that no service manager hears it says nothing at level error; a file that is
    wrong changes nothing; at level warning it does."""
    lines = ('data_dir = "data"', "emulator_speed = 20", 'log_level = "error"')
    write(config, *lines)
    nobody = str(tmp_path / "nobody")
    async with company(
        *(*COMMAND, "--config", str(config)), NOTIFY_SOCKET=nobody, WATCHDOG_USEC="40000"
    ) as scene:
        write(config, 'log_level = "warning"', "concurrency = 0")
        scene.process.send_signal(signal.SIGHUP)
        silent = await log_to(scene.process, "config.refused")

        write(config, *lines[:2], 'log_level = "warning"')
        scene.process.send_signal(signal.SIGHUP)
        lost = await said(scene.process, "systemd.notify_failed")

    assert [line for line in silent if "systemd.notify_failed" in line] == []
    assert "WATCHDOG=1" in lost
