"""`task watch`, run as a process against a server in this one."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operations.commands import finish, run, start
from tests.integration.task_server import Client, product, settings_for
from tests.interop.job_server import job_server
from tests.patience import patient

WATCH = ("-m", "phoenix_compat", "task", "watch")
UNKNOWN = "0190a0a0-0000-7000-8000-000000000000"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a running task server."""
    async with product(settings_for(tmp_path)) as one:
        yield one


async def watch(client: Client, task_id: str, *options: str) -> Any:
    """Watch a task to its end."""
    return await run(*WATCH, task_id, "--url", client.url, *options)


async def test_a_task_that_is_completed(client: Client) -> None:
    """It prints a line for each change, the last with the URL of the picture, and ends with 0."""
    finished = await watch(client, await client.post())

    lines = finished.out.splitlines()
    assert (finished.code, finished.err) == (0, "")
    assert "  completed   100%  http" in lines[-1]
    assert all("  processing  " in line for line in lines[:-1])


async def test_a_task_that_has_failed(client: Client) -> None:
    """The line has the reason, and the exit code is 1."""
    finished = await watch(client, await client.post("#fault:E005"))

    assert (finished.code, finished.err) == (1, "")
    assert "  failed  " in finished.out.splitlines()[-1]


async def test_as_json(client: Client) -> None:
    """With --json each line is the payload of a `progress`."""
    task_id = await client.post()

    finished = await watch(client, task_id, "--json")

    last = json.loads(finished.out.splitlines()[-1])
    assert (last["task_id"], last["status"], finished.code) == (task_id, "completed", 0)


async def test_a_task_that_does_not_exist(client: Client) -> None:
    """The error says so, and the exit code is 2."""
    finished = await watch(client, UNKNOWN)

    assert (finished.code, finished.out) == (2, "")
    assert finished.err == (
        f"Error: {client.url} has no task {UNKNOWN} for you; check the id and the key\n"
    )


async def test_no_server() -> None:
    """The error names the URL and the reason."""
    finished = await run(*WATCH, UNKNOWN, "--url", "http://127.0.0.1:1")

    assert (finished.code, finished.out) == (2, "")
    assert finished.err == (
        "Error: cannot connect to http://127.0.0.1:1/socket: connection refused; check the URL,"
        " and whether the server runs\n"
    )


async def test_a_server_that_asks_for_keys(tmp_path: Path) -> None:
    """The key in the file is used; without one, and with another, the errors say what to do."""
    arguments = ("-m", "phoenix_compat", "keys", "create", "phone", "--data-dir", str(tmp_path))
    key = tmp_path / "key"
    key.write_text((await run(*arguments)).out)
    wrong = tmp_path / "wrong"
    wrong.write_text("pck_nobody")
    async with product(settings_for(tmp_path, auth=("keys",))) as client:
        headers = {"Authorization": f"Bearer {key.read_text().strip()}"}
        body = {"input_data": {"type": "image", "prompt": "monk"}}
        _, task = await client.request("POST", "/api/tasks", json=body, headers=headers)
        task_id = task["task_id"]

        with_key = await watch(client, task_id, "--key-file", str(key))
        without = await watch(client, task_id)
        refused = await watch(client, task_id, "--key-file", str(wrong))

    assert (with_key.code, without.code, refused.code) == (0, 2, 2)
    assert "asks for a credential; name a file that contains a key: --key-file FILE" in without.err
    assert "refuses this credential" in refused.err


async def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """The command waits for the server, and watches the task to its end."""
    async with job_server(tmp_path) as server:
        await server.start()
        task_id = await server.create_task("Medieval monk")
        process = await start(*WATCH, task_id, "--url", server.url)
        assert process.stdout is not None
        async with asyncio.timeout(patient(30.0)):
            first = (await process.stdout.readline()).decode()

        await server.kill()
        await server.start()
        server.let_models_run()
        finished = await finish(process)

    assert "  processing  " in first
    assert (finished.code, finished.err) == (0, "")
    assert "  completed   100%  http" in finished.out.splitlines()[-1]


async def test_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends the command and not the task; it says so in one line."""
    async with job_server(tmp_path) as server:
        await server.start()
        task_id = await server.create_task("Medieval monk")
        process = await start(*WATCH, task_id, "--url", server.url)
        assert process.stdout is not None
        async with asyncio.timeout(patient(30.0)):
            await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        finished = await finish(process)

    assert finished.code == 130
    assert finished.err == "Stopped watching; the task goes on.\n"
