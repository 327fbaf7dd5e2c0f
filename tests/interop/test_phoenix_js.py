"""Tests phoenix.js, Phoenix's own client, under Node.js against this server.

Numbers refer to docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.interop.server import STEPS, build_app
from tests.patience import patient

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
REFUSED = {"reason": "not found"}
CLOSED = ["close", 1000]  # the server's answer to the client's close


class Script:
    """A running Node.js script that prints events."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self, timeout_s: float = 10.0) -> list[Any]:
        """The next `[event, data]` that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(patient(timeout_s)):
            line = await self._process.stdout.readline()
        assert line, f"the script ended: {await self._error_output()}"
        event: list[Any] = json.loads(line)
        return event

    async def wait_for(self, name: str, timeout_s: float = 10.0) -> list[Any]:
        """The events up to and including one with that name."""
        events = [await self.next(timeout_s)]
        while events[-1][0] != name:
            events.append(await self.next(timeout_s))
        return events

    async def rest(self) -> list[Any]:
        """All events until it ends; it must exit with 0 and print no errors."""
        async with asyncio.timeout(patient(10.0)):
            out, err = await self._process.communicate()
        assert (self._process.returncode, err.decode()) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    async def write_line(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def stop(self) -> None:
        """Kill it if it is still running."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def _error_output(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()


Run = Callable[..., Awaitable[Script]]


@pytest.fixture(scope="module")
def node() -> str:
    """The node command; skips the tests if it or the npm packages are missing."""
    command = shutil.which("node")
    if command is not None and (HERE / "node_modules" / "phoenix").is_dir():
        return command
    missing = "Node.js" if command is None else "tests/interop/node_modules"
    reason = f"{missing} is missing: install Node.js 20 and run `npm ci` in tests/interop"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
async def run(node: str) -> AsyncIterator[Run]:
    """Run scripts of this folder; running ones are killed when the test ends."""
    async with AsyncExitStack() as scripts:

        async def start(name: str, *args: str) -> Script:
            script = Script(
                await asyncio.create_subprocess_exec(
                    node,
                    str(HERE / name),
                    *args,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
            )
            scripts.push_async_callback(script.stop)
            return script

        yield start


@asynccontextmanager
async def server_process(port: int = 0) -> AsyncIterator[int]:
    """A server in another process, killed at the end; yields its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.interop.server",
        str(port),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(patient(20)):
            bound_port = int(await process.stdout.readline())
        yield bound_port
    finally:
        process.kill()
        await process.communicate()


async def test_progress_to_completion(serve: Serve, run: Run) -> None:
    """A task's progress arrives step by step, up to the result."""
    base_url = await serve(build_app())

    script = await run("progress.mjs", base_url, "abc")

    assert await script.rest() == [
        ["open", None],
        ["joined", {"task_id": "abc"}],
        *(["progress", {"task_id": "abc", **step}] for step in STEPS),
        ["left", None],
        CLOSED,
    ]


async def test_a_refused_join(serve: Serve, run: Run) -> None:
    """An error reply to a join arrives with its reason."""
    base_url = await serve(build_app())

    script = await run("progress.mjs", base_url, "missing")

    assert await script.rest() == [["open", None], ["refused", REFUSED], CLOSED]


async def test_binary_both_ways(serve: Serve, run: Run) -> None:
    """ArrayBuffers are sent, and received in replies, pushes and broadcasts."""
    base_url = await serve(build_app())

    script = await run("binary.mjs", base_url)

    assert await script.rest() == [
        ["open", None],
        ["joined", {"joined": "room:é"}],
        ["replied", [0, 1, 128, 255]],
        ["replied", []],
        ["pushed", [9, 8, 7]],
        ["broadcast", [5, 254]],
        ["replied", {}],
        ["failed", {"reason": "x"}],
        ["crashed", {"reason": "channel_crash"}],
        CLOSED,
    ]


async def test_it_rejoins_when_the_server_is_restarted(run: Run) -> None:
    """After a kill and a restart on the same port, it rejoins and gets the result."""
    async with server_process() as port:
        script = await run("stay.mjs", f"http://127.0.0.1:{port}", "task:abc")
        first = await script.wait_for("completed")

    lost = await script.wait_for("close")
    async with server_process(port):
        again = await script.wait_for("completed")

    joined = ["joined", {"task_id": "abc"}]
    assert first == [["open", None], joined, ["completed", None]]
    assert lost[-1] == ["close", 1006]
    assert again[-3:] == [["open", None], joined, ["completed", None]]


async def test_it_reconnects_after_a_forced_disconnect(serve: Serve, run: Run) -> None:
    """§10.52: after 1001, phoenix.js reconnects and rejoins."""
    script = await run("stay.mjs", await serve(build_app()), "room:a")
    await script.wait_for("joined")

    await script.write_line("disconnect_me")

    events = await script.wait_for("joined")
    assert ["close", 1001] in events
    assert events[-2:] == [["open", None], ["joined", {"joined": "room:a"}]]


async def test_it_rejoins_after_a_crash(serve: Serve, run: Run) -> None:
    """§7.4: after phx_error, phoenix.js rejoins on the same connection."""
    script = await run("stay.mjs", await serve(build_app()), "room:a")
    await script.wait_for("joined")

    await script.write_line("crash")
    recovered = await script.wait_for("joined")
    await script.write_line("echo")

    assert recovered == [
        ["errored", {"reason": "channel_crash"}],
        ["joined", {"joined": "room:a"}],
    ]
    assert await script.next() == ["replied", {"from": "node"}]
