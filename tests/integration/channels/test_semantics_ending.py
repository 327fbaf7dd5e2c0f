"""The end of a channel, and what the client gets. Numbers are those of docs/protocol.md."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import HandleResult, Socket, ok, on, stop
from tests.conftest import Open, Serve
from tests.integration.echo_app import OpenChannel, joined
from tests.serving import EventLog, accepting, serving, socket_app
from tests.wire import CRASHED, OK, V1, replied


async def ends_how(serve: Serve, open_wire: Open, how: str) -> tuple[list[Any], Any]:
    """The frames after an event that ends its channel, and terminate's reason."""
    event_log = EventLog()
    results = {
        "normal": stop(),
        "shutdown": stop("shutdown"),
        "detail": stop(("shutdown", "enough")),
        "reply": stop("shutdown", ok({"bye": True})),
        "other": stop("kaputt"),
        "other-reply": stop("kaputt", ok({"bye": True})),
        "no-result": {"not": "a result"},
    }

    class EndingChannel(OpenChannel):
        @on("end")
        async def end(self, payload: Any, socket: Socket) -> Any:
            if how == "raise":
                raise RuntimeError("asked to crash")
            if how == "cancel":
                raise asyncio.CancelledError
            return results[how]

        def terminate(self, reason: Any, socket: Socket) -> None:
            event_log.record(reason)

    wire = await joined(serve, open_wire, EndingChannel)
    await wire.send(["1", "2", "room:a", "end", {}])
    frames = [await wire.recv()]
    while not frames[-1][3].startswith("phx_") or frames[-1][3] == "phx_reply":
        frames.append(await wire.recv())
    await wire.fence()
    await wire.join("room:a", "9")
    return frames, await event_log.next()


BYE = ["1", "2", "room:a", "phx_reply", replied({"bye": True})]
CLOSED = ["1", "1", "room:a", "phx_close", {}]
CRASH = ["1", "1", "room:a", "phx_error", CRASHED]


@pytest.mark.parametrize(
    ("how", "frames", "reason"),
    [
        ("normal", [CLOSED], "normal"),
        ("shutdown", [CLOSED], "shutdown"),
        ("detail", [CLOSED], ("shutdown", "enough")),
        ("reply", [BYE, CLOSED], "shutdown"),
        ("other", [CRASH], "kaputt"),
        ("other-reply", [BYE, CRASH], "kaputt"),
    ],
)
async def test_how_a_channel_stops(
    serve: Serve, open_wire: Open, how: str, frames: list[Any], reason: Any
) -> None:
    """§3.6, §4.6, §9.11.169-170, §10.26-29: phx_close for graceful reasons, otherwise phx_error."""
    assert await ends_how(serve, open_wire, how) == (frames, reason)


@pytest.mark.parametrize("how", ["raise", "cancel", "no-result"])
async def test_how_a_channel_crashes(serve: Serve, open_wire: Open, how: str) -> None:
    """§3.6, §9.1.16, §9.13.216, §10.27: any other end is phx_error, without the reason."""
    frames, reason = await ends_how(serve, open_wire, how)

    assert frames == [CRASH]
    assert isinstance(reason, BaseException)


async def test_a_crash_concerns_one_channel(reference_url: str, open_wire: Open) -> None:
    """§3.6, §9.1.16 over V1, §10.40: other channels, the socket and other clients continue."""
    wire, other = await open_wire(reference_url, V1), await open_wire(reference_url)
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "1"}
    await wire.ask(join)
    await wire.ask({**join, "topic": "room:b", "join_ref": "2"})
    await other.join("room:a")

    crashed = await wire.ask({**join, "event": "crash", "ref": "3"})
    echoed = await wire.ask({**join, "topic": "room:b", "event": "echo", "join_ref": "2"})

    assert crashed == {"event": "phx_error", "payload": CRASHED, "ref": "1", "topic": "room:a"}
    assert echoed["payload"] == OK
    assert (await other.ask(["1", "4", "room:a", "echo", {}]))[4] == OK


@pytest.mark.parametrize("callback", ["handle_out", "handle_info"])
async def test_a_channel_may_stop_anywhere(serve: Serve, open_wire: Open, callback: str) -> None:
    """§4.2, §9.11.181-182: handle_out and handle_info may end the channel gracefully."""

    class EndingChannel(OpenChannel):
        intercept = ("end",)

        @on("start")
        def start(self, payload: Any, socket: Socket) -> HandleResult:
            if callback == "handle_out":
                socket.broadcast("end", {})
            else:
                socket.send_self("end")
            return ok()

        def handle_out(self, event: str, payload: Any, socket: Socket) -> Any:
            return stop()

        def handle_info(self, message: Any, socket: Socket) -> Any:
            return stop("shutdown")

    wire = await joined(serve, open_wire, EndingChannel)

    await wire.send(["1", "2", "room:a", "start", {}])

    assert await wire.recv_many(2) == [["1", "2", "room:a", "phx_reply", OK], CLOSED]


async def test_a_server_that_stops_says_so(open_wire: Open) -> None:
    """§3.9, §9.13.217, §10.52-53: 1012 for those who joined, 1000 for the rest, nothing before.

    Clients that answer the close do not hold the server up.
    """
    event_log, loop = EventLog(), asyncio.get_running_loop()

    class EndingChannel(OpenChannel):
        def terminate(self, reason: Any, socket: Socket) -> None:
            event_log.record(reason)

    async with serving(socket_app(accepting({"room:*": EndingChannel}))) as base_url:
        joined_one, idle_one = await open_wire(base_url), await open_wire(base_url)
        await joined_one.join("room:a")
        closing = asyncio.gather(joined_one.recv_close(), idle_one.recv_close())
        await asyncio.sleep(0)
        stopped_at_s = loop.time()

    assert loop.time() - stopped_at_s < 2
    assert tuple(await closing) == (1012, 1000)
    assert await event_log.next() == ("shutdown", "draining")
