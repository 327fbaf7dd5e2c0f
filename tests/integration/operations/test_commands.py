"""The commands, run as processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from tests.integration.operations.commands import (
    ROOT,
    environment,
    finish,
    run,
    server,
    start,
)
from tests.integration.task_server import Client
from tests.patience import patient


async def test_serve_prints_where_it_listens_and_ends_at_sigterm(tmp_path: Path) -> None:
    """With port 0 it prints the chosen port in a curl command; after SIGTERM the exit code is 0."""
    arguments = ("server.py", "--port", "0", "--data-dir", str(tmp_path))
    async with server(*arguments) as (process, url), aiohttp.ClientSession() as http:
        status, _ = await Client(url, http).request("GET", "/healthz")
        process.send_signal(signal.SIGTERM)

        finished = await finish(process)

    assert status == 200
    assert finished.code == 0
    assert f"curl -s {url}/api/tasks" in finished.out
    assert finished.err == ""


@pytest.mark.parametrize("transport", ["TCP", "Unix socket"])
async def test_the_commands_that_serve_prints_create_a_task(tmp_path: Path, transport: str) -> None:
    """With authentication by keys, `serve` prints a command that creates a key and one that uses
    it; copied to a shell as they are, they create a task."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    program = tmp_path / "bin" / "phoenix-compat"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m phoenix_compat "$@"\n')
    program.chmod(0o700)
    data = tmp_path / "my data"
    first = await run("-m", "phoenix_compat", "keys", "create", "first", "--data-dir", str(data))
    unix = ("--unix-socket", str(tmp_path / "a socket")) if transport == "Unix socket" else ()
    process = await start(
        *("server.py", "--port", "0", "--data-dir", str(data), *unix),
        PHOENIX_COMPAT_AUTH='["keys"]',
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(patient(30.0)):
            greeting = (await process.stdout.readuntil(b"Medieval monk\"}}'\n")).decode()
            _, _, commands = greeting.partition("\n\n")

            shell = await asyncio.create_subprocess_exec(
                *("bash", "-euc", commands),
                cwd=ROOT,
                env=environment({"PATH": f"{program.parent}:{os.environ['PATH']}"}),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await shell.communicate()
    finally:
        process.terminate()
        await finish(process)

    assert first.code == 0, first.err
    assert "task_id" in json.loads(out)


@pytest.mark.parametrize("variables", [{}, {"PHOENIX_COMPAT_AUTH": '["keys"]'}], ids=str)
async def test_the_demo_saves_a_picture_and_prints_its_path(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    """`demo` prints the path of a picture, and the exit code is 0; it needs no key of its own."""
    finished = await run(
        *("-m", "phoenix_compat", "demo", "--out", str(tmp_path)),
        PHOENIX_COMPAT_EMULATOR_SPEED="20",
        **variables,
    )

    path = Path(finished.out.splitlines()[-1])
    assert finished.code == 0, finished.err
    assert path == tmp_path / "medieval-monk.jpg"
    assert "http://127.0.0.1:4000/console" in finished.err
    with Image.open(path) as picture:
        assert picture.size == (1024, 1024)


async def test_the_demo_uses_a_server_that_asks_for_keys(tmp_path: Path) -> None:
    """With the first key of a package in a file. Without it, or with another, the error says what
    to do, and no key is printed."""
    command = ("-m", "phoenix_compat")
    keys = {"PHOENIX_COMPAT_AUTH": '["keys"]', "PHOENIX_COMPAT_EMULATOR_SPEED": "20"}
    data, key = str(tmp_path / "data"), tmp_path / "data" / "first-key"
    other = tmp_path / "other"
    other.write_text(f"pck_{'x' * 43}\n")
    serve = (*command, "serve", "--port", "0", "--data-dir", data, "--create-first-key")
    async with server(*serve, **keys) as (_, url):
        demo = (*command, "demo", "--url", url, "--out", str(tmp_path))
        finished = await run(*demo, "--key-file", str(key))
        without = await run(*demo)
        refused = await run(*demo, "--key-file", str(other))
        several = await run(*demo, "--key-file", str(Path(__file__)))

    assert finished.code == 0, finished.err
    assert f"{url}/console" in finished.err
    assert (tmp_path / "medieval-monk.jpg").exists()
    assert (without.code, refused.code, several.code) == (2, 2, 2)
    assert "asks for a credential; name a file that contains a key: --key-file" in without.err
    assert "refuses this credential" in refused.err
    assert "one key or token and nothing else" in several.err
    assert "pck_x" not in refused.err


async def test_the_job_runs_against_a_separate_emulator(tmp_path: Path) -> None:
    """With a token and a base URL, the server uses the emulator in another process."""
    emulator = ("server.py", "emulator", "--port", "0", "--speed", "20")
    async with (
        server(*emulator) as (_, emulator_url),
        server(
            *("server.py", "serve", "--port", "0", "--data-dir", str(tmp_path)),
            REPLICATE_API_TOKEN="r8_mine",
            REPLICATE_BASE_URL=f"{emulator_url}/v1",
        ) as (_, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)

        last = await client.ended(await client.post())

    assert last["status"] == "completed"
    assert last["result_data"]["image_url"].startswith(emulator_url)


async def test_all_invalid_settings_are_named() -> None:
    """Invalid and unknown settings end the command with exit code 2 and a line for each."""
    finished = await run(
        "server.py",
        PHOENIX_COMPAT_PORT="99999",
        PHOENIX_COMPAT_CONCURRENCY="0",
        PHOENIX_COMPAT_X="1",
    )

    assert finished.code == 2
    for name in ("PHOENIX_COMPAT_PORT", "PHOENIX_COMPAT_CONCURRENCY", "PHOENIX_COMPAT_X"):
        assert f"Error: {name}: " in finished.err
    assert "Traceback" not in finished.err


async def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    """A second server on the same port ends with exit code 2 and says why."""
    async with server("server.py", "--port", "0", "--data-dir", str(tmp_path / "a")) as (_, url):
        port = url.rpartition(":")[2]

        finished = await run("server.py", "--port", port, "--data-dir", str(tmp_path / "b"))

    assert finished.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in finished.err
    assert "Traceback" not in finished.err


async def test_a_data_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    """A data directory that cannot be created leads to exit code 2, without a traceback."""
    (tmp_path / "file").write_text("")

    finished = await run("server.py", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))

    assert finished.code == 2
    assert "Traceback" not in finished.err


async def test_conformance_serve_hosts_the_reference_channels() -> None:
    """`conformance serve` prints its URL, and its reference channels can be joined."""
    command = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
    async with (
        server(*command) as (_, url),
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/socket/websocket?vsn=2.0.0") as socket,
    ):
        await socket.send_json(["1", "1", "room:lobby", "phx_join", {}])

        reply = await socket.receive_json()

    assert reply == [
        *("1", "1", "room:lobby", "phx_reply"),
        {"response": {"joined": "room:lobby"}, "status": "ok"},
    ]
