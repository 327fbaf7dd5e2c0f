"""Tests phoenix.js over long-polling, used directly or as the automatic fallback.

Numbers refer to docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, LongPollOptions, Result, Socket, SocketHandler, ok
from phoenix_compat.conformance.reference import RoomChannel
from tests.conftest import Open, Serve
from tests.integration.operations.commands import finish, listening_url, start
from tests.interop.test_phoenix_js import Run, Script, node, run
from tests.polling import longpoll_app, rooms_app
from tests.serving import accepting

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node

OPEN = ["open", "longpoll"]
JOINED = ["joined", {"joined": "room:é"}]
SESSION_GONE = 3410


async def push(script: Script, *events: tuple[str, Any]) -> None:
    """Push events in the same tick, so that phoenix.js sends them as one batch."""
    await script.write_line("\n".join(json.dumps(event) for event in events))


@asynccontextmanager
async def process(port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server with the reference channels in another process, and its URL; killed at the end."""
    server = await start("-m", "phoenix_compat", "conformance", "serve", "--port", str(port))
    try:
        yield server, await listening_url(server)
    finally:
        if server.returncode is None:
            server.kill()
        await finish(server)


async def test_a_conversation(serve: Serve, run: Run, open_wire: Open) -> None:
    """§7.6: join, replies, broadcasts from and to a websocket client, leave."""
    base_url = await serve(rooms_app(RoomChannel))
    script = await run("longpoll.mjs", base_url, "room:é", "longpoll")
    assert await script.wait_for("joined") == [OPEN, JOINED]
    other = await open_wire(base_url)
    await other.join("room:é")

    await push(script, ("echo", {"text": "né 😀"}), ("echo_error", {"no": 1}), ("push", {"n": 1}))
    answers = [await script.next() for _event in range(3)]
    await push(script, ("broadcast", {"n": 2}))
    own = await script.wait_for("replied")
    await other.send(["1", "9", "room:é", "broadcast_from", {"n": 3}])
    received = await script.next()
    await push(script, ("phx_leave", {}))

    assert answers == [["replied", {"text": "né 😀"}], ["failed", {"no": 1}], ["msg", {"n": 1}]]
    assert own == [["msg", {"n": 2}], ["replied", {}]]
    assert await other.recv() == [None, None, "room:é", "msg", {"n": 2}]
    assert received == ["msg", {"n": 3}]
    assert await script.next() == ["left", None]


async def test_more_than_one_batch(serve: Serve, run: Run) -> None:
    """§5.4, §7.6: phoenix.js sends pushes in batches of a hundred, and none is lost."""
    script = await run("longpoll.mjs", await serve(rooms_app(RoomChannel)), "room:é", "longpoll")
    await script.wait_for("joined")

    await push(script, *(("echo", {"n": number}) for number in range(250)))

    answers = [await script.next() for _event in range(250)]
    assert answers == [["replied", {"n": number}] for number in range(250)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_it_rejoins_when_the_server_is_restarted(run: Run, number: signal.Signals) -> None:
    """After a kill or a clean stop, and a restart on the same port, it rejoins."""
    async with process() as (server, base_url):
        script = await run("longpoll.mjs", base_url, "room:é", "longpoll")
        await script.wait_for("joined")
        server.send_signal(number)
        await server.wait()
        await script.wait_for("close")

    async with process(int(base_url.rpartition(":")[2])):
        again = await script.wait_for("joined")
        await push(script, ("echo", {"still": "here"}))

        assert again[-2:] == [OPEN, JOINED]
        assert await script.next() == ["replied", {"still": "here"}]


async def test_it_reconnects_after_a_forced_disconnect(serve: Serve, run: Run) -> None:
    """§5.8, §7.6: phoenix.js treats an ended session as close 3410 and opens a new one."""
    endpoint = Endpoint()
    app = rooms_app(RoomChannel, LongPollOptions(window_s=0.5), endpoint=endpoint)
    script = await run("longpoll.mjs", await serve(app), "room:é", "longpoll")
    await script.wait_for("joined")

    endpoint.broadcast("user:ann", "disconnect", {})

    events = await script.wait_for("joined")
    assert ["close", SESSION_GONE] in events
    assert events[-2:] == [OPEN, JOINED]


async def test_an_event_that_disconnects_its_own_sender(serve: Serve, run: Run) -> None:
    """§5.4: the push is acknowledged; the client learns of the end from its poll."""
    app = rooms_app(RoomChannel, LongPollOptions(window_s=0.5))
    script = await run("longpoll.mjs", await serve(app), "room:é", "longpoll")
    await script.wait_for("joined")

    await push(script, ("disconnect_me", {}))

    events = await script.wait_for("joined")
    assert [event for event in events if event[0] == "close"] == [["close", SESSION_GONE]]


async def test_it_rejoins_after_a_crash(serve: Serve, run: Run) -> None:
    """§7.4: after phx_error, it rejoins in the same session."""
    script = await run("longpoll.mjs", await serve(rooms_app(RoomChannel)), "room:é", "longpoll")
    await script.wait_for("joined")

    await push(script, ("crash", {}))

    assert await script.wait_for("joined") == [["errored", {"reason": "channel_crash"}], JOINED]


async def test_the_fallback(serve: Serve, run: Run) -> None:
    """§5.9: if websockets are refused, it uses long-polling, and remembers that."""
    app = longpoll_app(accepting({"room:*": RoomChannel}), websocket=False)
    script = await run("longpoll.mjs", await serve(app), "room:é", "fallback")

    events = await script.wait_for("joined")
    await push(script, ("echo", {"a": 1}))

    assert ["stored", ["phx:fallback:LongPoll", "true"]] in events
    assert OPEN in events
    assert ["open", "websocket"] not in events
    assert await script.next() == ["replied", {"a": 1}]


async def test_no_fallback_without_need(serve: Serve, run: Run) -> None:
    """§5.9: a websocket that answers the first ping is kept."""
    app = rooms_app(RoomChannel)
    script = await run("longpoll.mjs", await serve(app), "room:é", "fallback")

    assert await script.wait_for("joined") == [["open", "websocket"], JOINED]


@pytest.mark.parametrize("mode", ["longpoll", "fallback"])
async def test_the_auth_token(serve: Serve, run: Run, mode: str) -> None:
    """§1.6: `authToken` arrives over both transports, with any characters."""

    class TokenChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            return ok({"token": socket.assigns["token"]})

    class TokenSocket(SocketHandler):
        channels = {"room:*": TokenChannel}  # noqa: RUF012 - a ClassVar of the base

        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            socket.assign(token=connect_info["auth_token"])
            return ok()

    app = longpoll_app(TokenSocket, auth_token=True)
    token = "a?>b~/+ 12"

    script = await run("longpoll.mjs", await serve(app), "room:é", mode, token)

    assert (await script.wait_for("joined"))[-1] == ["joined", {"token": token}]
