"""The programs of the tutorial run, and the server sends the frames of docs/protocol.md."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import shutil
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat import Channel, HandleResult, Result, Socket, error, ok, on, stop
from tests.conftest import Dial, Open, Serve
from tests.docs.pages import blocks
from tests.patience import patient
from tests.serving import accepting, socket_app
from tests.wire import OK, V1, V2, PhoenixWire, replied

DOCS = Path(__file__).parents[2] / "docs"
NODE_MODULES = DOCS.parent / "tests" / "interop" / "node_modules"
TUTORIAL = (DOCS / "channels.md").read_text()
PROTOCOL = (DOCS / "protocol.md").read_text()


FIRST_CHAT, CHAT, TEST_CHAT = blocks(TUTORIAL, "python")


def run_chat(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> web.Application:
    """Run `python chat.py` up to serving, and return its application."""
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", lambda app, port: apps.append(app))
    (folder / "chat.py").write_text(code)
    runpy.run_path(str(folder / "chat.py"), run_name="__main__")
    return apps[0]


def test_the_chat_has_about_sixty_lines() -> None:
    """The chat is about as long as the title of the tutorial says."""
    assert 40 < len(CHAT.splitlines()) < 66


async def test_the_first_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open
) -> None:
    """Both clients get what one of them says."""
    url = await serve(run_chat(FIRST_CHAT, tmp_path, monkeypatch))
    ann, bob = await open_wire(url), await open_wire(url)
    await ann.join("room:lobby")
    await bob.join("room:lobby")

    await ann.send(["1", "2", "room:lobby", "new_msg", {"body": "hello"}])

    for wire in (ann, bob):
        assert await wire.recv() == [None, None, "room:lobby", "new_msg", {"body": "hello"}]
    await ann.fence()


async def enter(wire: PhoenixWire) -> Any:
    """Join the lobby and return the `presence_state` that is pushed."""
    joined = await wire.ask(["1", "1", "room:lobby", "phx_join", {}])
    assert joined[3:] == ["phx_reply", replied({"topic": "room:lobby"})]
    diff, state = await wire.recv_many(2)
    assert (diff[:4], state[:4]) == (
        [None, None, "room:lobby", "presence_diff"],
        ["1", None, "room:lobby", "presence_state"],
    )
    return state[4]


async def test_the_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open
) -> None:
    """Two clients see each other, talk, leave, and are refused the room for staff."""
    url = await serve(run_chat(CHAT, tmp_path, monkeypatch))
    ann, bob = await open_wire(url, V2 + "&name=ann"), await open_wire(url, V2 + "&name=bob")

    assert set(await enter(ann)) == {"ann"}
    assert set(await enter(bob)) == {"ann", "bob"}
    assert set((await ann.recv())[4]["joins"]) == {"bob"}

    await ann.send(["1", "2", "room:lobby", "new_msg", {"body": " hi "}])
    said = [None, None, "room:lobby", "new_msg", {"from": "ann", "body": "hi"}]
    assert await ann.recv_many(2) == [said, ["1", "2", "room:lobby", "phx_reply", OK]]
    assert await bob.recv() == said

    await bob.send(["1", "3", "room:lobby", "typing", {}])
    assert await ann.recv() == [None, None, "room:lobby", "typing", {"from": "bob"}]
    await bob.fence()

    await bob.close()
    assert set((await ann.recv())[4]["leaves"]) == {"bob"}
    refused = await ann.ask(["2", "4", "room:staff", "phx_join", {}])
    assert refused[4] == {"response": {"reason": "unauthorized"}, "status": "error"}


async def test_the_chat_requires_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, dial: Dial
) -> None:
    """A client without a name is refused with 403."""
    url = await serve(run_chat(CHAT, tmp_path, monkeypatch))

    assert (await (await dial(url)).handshake(V2)).status == 403


async def test_the_tests_of_the_chat(tmp_path: Path) -> None:
    """`pytest` runs the tutorial's tests, with the tutorial's pytest.ini, and they pass."""
    (tmp_path / "chat.py").write_text(CHAT)
    (tmp_path / "test_chat.py").write_text(TEST_CHAT)
    (tmp_path / "pytest.ini").write_text(blocks(TUTORIAL, "ini")[0])
    # pytest-asyncio warns about its own default; the chat must cause no warning.
    warnings = ("-W", "error", "-W", "ignore:The configuration option:pytest.PytestWarning")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), *warnings),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    assert f"{TEST_CHAT.count('async def test_')} passed" in output.decode()


@pytest.mark.node
@pytest.mark.parametrize(
    ("which", "lines"), [(0, ["hello"]), (1, ["here: [ 'ann' ]", "ann: hello"])]
)
async def test_the_browser(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Serve,
    which: int,
    lines: list[str],
) -> None:
    """The JavaScript of the tutorial, run in Node.js with npm phoenix, works with the chat."""
    snippet = blocks(TUTORIAL, "js")[which]
    url = await serve(run_chat(blocks(TUTORIAL, "python")[which], tmp_path, monkeypatch))
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "page.mjs").write_text(
        "import WebSocket from 'ws'\nglobalThis.WebSocket = WebSocket\n"
        + snippet.replace("ws://localhost:4000", url.replace("http", "ws"))
    )
    process = await asyncio.create_subprocess_exec(
        *(node(), tmp_path / "page.mjs"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(patient(10.0)):
            said = [(await process.stdout.readline()).decode().strip() for _line in lines]
    finally:
        process.kill()
        await process.communicate()

    assert said == lines


def node() -> str:
    """Return the node command; skip the test if it or the npm packages are missing."""
    command = shutil.which("node")
    if command is not None and (NODE_MODULES / "phoenix").is_dir():
        return command
    reason = "Node.js 20 or the packages of tests/interop are missing; `make test` installs them"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class ExampleChannel(Channel):
    """The channel behind the examples of docs/protocol.md."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Awaitable[Result] | Result:
        return error(reason="unauthorized") if topic == "room:private" else ok()

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("push")
    def push(self, payload: Any, socket: Socket) -> None:
        socket.push("pushed", payload)

    @on("shout")
    def shout(self, payload: Any, socket: Socket) -> None:
        socket.broadcast("shouted", payload)

    @on("quiet")
    def quiet(self, payload: Any, socket: Socket) -> None:
        """Send no reply."""

    @on("stop")
    def stop(self, payload: Any, socket: Socket) -> HandleResult:
        return stop()

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> HandleResult:
        raise RuntimeError("asked to crash")


PLAYS = [
    (target, block)
    for language, target in [("wire", V2), ("wire-v1", V1)]
    for block in blocks(PROTOCOL, language)
]


@pytest.mark.parametrize(("target", "block"), PLAYS)
async def test_the_frames_of_the_protocol(
    serve: Serve, open_wire: Open, target: str, block: str
) -> None:
    """Each block of docs/protocol.md shows all frames of one connection."""
    url = await serve(socket_app(accepting({"room:*": ExampleChannel})))
    wire = await open_wire(url, target)
    for line in block.splitlines():
        match line.split(maxsplit=2):
            case ["→", "bytes", data]:
                await wire.send_binary(bytes.fromhex(data))
            case ["←", "bytes", data]:
                assert await wire.recv_binary() == bytes.fromhex(data)
            case ["←", "close", code]:
                assert await wire.recv_close() == int(code)
                return
            case ["→", *_]:
                await wire.send_text(line[2:])
            case _:
                assert await wire.recv() == json.loads(line.removeprefix("← "))
    if target == V2:
        await wire.fence()


def test_all_blocks_of_the_protocol_are_played() -> None:
    """No block of the page is skipped because of its language."""
    assert len(PLAYS) == PROTOCOL.count("```wire")
    assert len(PLAYS) == PROTOCOL.count("```") // 2
