"""SIGHUP: what changes at once, what needs a restart, and an invalid file."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.integration.operations.commands import finish, server
from tests.integration.task_server import Client
from tests.patience import patient

COMMAND = ("-m", "phoenix_compat", "serve", "--port", "0")


async def log_to(process: asyncio.subprocess.Process, word: str) -> list[str]:
    """The next lines of the log, up to one that contains a word."""
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(patient(20.0)):
        while line := (await process.stderr.readline()).decode():
            lines.append(line)
            if word in line:
                return lines
    raise AssertionError(f"the log ended without {word!r}")


async def line_with(process: asyncio.subprocess.Process, word: str) -> str:
    """The next line of the log that contains a word."""
    return (await log_to(process, word))[-1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "c.toml"
    path.write_text('log_level = "warning"\ndata_dir = "data"\nemulator_speed = 20')
    return path


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines))


async def test_a_hangup_applies_what_can_change(config: Path, tmp_path: Path) -> None:
    """A new default model is used at once; settings that need a restart are logged as such; an
    invalid file changes nothing."""
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
        refused = await line_with(process, "config.refused")
        before = await client.post()

        write(
            *(config, data, "emulator_speed = 20", 'log_level = "info"', "show_watchers = true"),
            *(
                'default_model = "black-forest-labs/flux-schnell"',
                'task_types_file = "task_types.toml"',
            ),
        )
        process.send_signal(signal.SIGHUP)
        reloaded = await line_with(process, "config.reloaded")
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


async def test_the_supervisor_forwards_the_hangup(config: Path, tmp_path: Path) -> None:
    """With two processes both apply the change and keep serving."""
    async with multiprocess_server(*COMMAND, "--config", str(config)) as processes:
        write(config, 'data_dir = "data"', "emulator_speed = 20", "concurrency = 3")

        processes.process.send_signal(signal.SIGHUP)
        lines = [await line_with(processes.process, "config.reloaded") for _ in range(2)]

        status, _ = await processes.request(1, "GET", "/api/tasks")
    assert all("'concurrency'" in line for line in lines)
    assert status == 200


async def test_the_supervisor_applies_the_log_level_too(config: Path, tmp_path: Path) -> None:
    """At level error it does not log lost notifications; an invalid file changes nothing; at level
    warning it logs them."""
    lines = ('data_dir = "data"', "emulator_speed = 20", 'log_level = "error"')
    write(config, *lines)
    no_socket = str(tmp_path / "no_socket")
    async with multiprocess_server(
        *(*COMMAND, "--config", str(config)), NOTIFY_SOCKET=no_socket, WATCHDOG_USEC="40000"
    ) as processes:
        write(config, 'log_level = "warning"', "concurrency = 0")
        processes.process.send_signal(signal.SIGHUP)
        at_error = await log_to(processes.process, "config.refused")

        write(config, *lines[:2], 'log_level = "warning"')
        processes.process.send_signal(signal.SIGHUP)
        lost = await line_with(processes.process, "systemd.notify_failed")

    assert [line for line in at_error if "systemd.notify_failed" in line] == []
    assert "WATCHDOG=1" in lost
