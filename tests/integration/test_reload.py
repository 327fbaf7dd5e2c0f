"""SIGHUP: what changes under way, what needs a restart, and a file that is wrong."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.integration.commands import finish, server
from tests.integration.company import company
from tests.integration.product import Client

Said = Callable[[str], Awaitable[str]]
COMMAND = ("-m", "phoenix_compat", "serve", "--port", "0")


def listener(process: asyncio.subprocess.Process) -> Said:
    """Reads the log up to a line that has a word."""

    async def said(word: str) -> str:
        assert process.stderr is not None
        async with asyncio.timeout(20.0):
            while line := (await process.stderr.readline()).decode():
                if word in line:
                    return line
        raise AssertionError(f"the log ended without {word!r}")

    return said


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
    write(tmp_path / "kinds.toml", "[poster]", 'task_type = "poster_gen"', 'result = "image"')
    with (tmp_path / "kinds.toml").open("a") as kinds:
        kinds.write('\ndefault_model = "owner/poster"\n')
    async with (
        server(*COMMAND, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        said, client = listener(process), Client(url, http)
        write(config, data, 'port = "x"', "concurrency = 0")
        process.send_signal(signal.SIGHUP)
        refused = await said("config.refused")
        before = await client.post()

        write(
            *(config, data, "emulator_speed = 20", 'log_level = "info"', "show_watchers = true"),
            *('default_model = "black-forest-labs/flux-schnell"', 'kinds_file = "kinds.toml"'),
        )
        process.send_signal(signal.SIGHUP)
        reloaded = await said("config.reloaded")
        after = await client.post()
        models = [
            (await client.request("GET", f"/api/tasks/{task}"))[1]["model"]
            for task in (before, after)
        ]
        poster = await client.post(type="poster")

        process.send_signal(signal.SIGTERM)
        finished = await finish(process)

    assert "concurrency: Input should be greater than or equal to 1" in refused
    assert "changed=['default_model', 'kinds_file', 'log_level']" in reloaded
    assert "needs_restart=['show_watchers']" in reloaded
    assert models == ["google/imagen-4-fast", "black-forest-labs/flux-schnell"]
    assert poster
    assert finished.code == 0


async def test_the_supervisor_hands_the_hangup_on(config: Path, tmp_path: Path) -> None:
    """With two processes both take over the change, and both go on serving."""
    async with company(*COMMAND, "--config", str(config)) as scene:
        said = listener(scene.process)
        write(config, 'data_dir = "data"', "emulator_speed = 20", "concurrency = 3")

        scene.process.send_signal(signal.SIGHUP)
        lines = [await said("config.reloaded"), await said("config.reloaded")]

        status, _ = await scene.request(1, "GET", "/api/tasks")
    assert all("'concurrency'" in line for line in lines)
    assert status == 200
