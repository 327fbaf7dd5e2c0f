"""S8: websocket clients that do not complete what they send, or take nothing of what they
are sent, are closed in time; those that are only slow are not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import pytest

from phoenix_compat import Endpoint, Limits, Socket, WebSocketOptions, ok
from phoenix_compat.channel import Channel
from phoenix_compat.conformance.suite.wire_client import Opcode, encode_frame
from phoenix_compat.result import Result
from phoenix_compat.transports.aiohttp import poller
from tests.conftest import Open
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.serving import accepting, serving, socket_app
from tests.wire import PhoenixWire

FRAME_S: Final = 0.6
SEND_S: Final = 0.9
CALM_S: Final = 2.0
"""For clients that go on: a busy machine may stop them for a while."""
DROP_S: Final = 0.1
EARLY_S: Final = 0.02

HEARTBEAT: Final = encode_frame('[null,"1","phoenix","heartbeat",{}]')
PING: Final = encode_frame("p", Opcode.PING)
BEGUN: Final = encode_frame('[null,"1","phoe', Opcode.TEXT, is_final=False)
EMPTY: Final = encode_frame("", Opcode.CONTINUATION, is_final=False)
LONG: Final = encode_frame("[" + " " * 30_000)


class SlowChannel(Channel):
    """A channel whose join takes longer than a frame may."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """See Channel."""
        await asyncio.sleep(1.2 * CALM_S)
        return ok()


@pytest.fixture(params=["epoll", "asyncio"])
async def serve(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[Endpoint], Awaitable[str]]]:
    """Serve an endpoint's socket with hurried deadlines, on each kind of stream."""
    if request.param == "asyncio":
        monkeypatch.setattr(poller, "IS_AVAILABLE", False)
    async with AsyncExitStack() as servers:

        async def start(endpoint: Endpoint, *, frame_timeout_s: float | None = FRAME_S) -> str:
            options = WebSocketOptions(frame_timeout_s=frame_timeout_s)
            handler = accepting({"room:*": OpenChannel, "slow:*": SlowChannel})
            return await servers.enter_async_context(
                serving(socket_app(handler, options, endpoint=endpoint))
            )

        yield start


async def send_slowly(wire: PhoenixWire, parts: Iterable[bytes], every_s: float = DROP_S) -> None:
    """Send the parts with pauses; a client that was closed stops."""
    try:
        for part in parts:
            await wire.client.send_bytes(part)
            await asyncio.sleep(every_s)
    except ConnectionError:
        pass


async def closed_after(wire: PhoenixWire, parts: Iterable[bytes]) -> tuple[int, float]:
    """The code with which the server closes a client that sends these parts, and when."""
    begun_s = time.monotonic()
    sending = asyncio.create_task(send_slowly(wire, parts))
    try:
        async with asyncio.timeout(patient(10.0)):
            while (frame := await wire.recv_frame()).opcode != Opcode.CLOSE:
                pass
    finally:
        sending.cancel()
    assert frame.close_code is not None
    return frame.close_code, time.monotonic() - begun_s


@pytest.mark.parametrize(
    "parts",
    [
        [LONG[:1]],
        [LONG[:-1]],
        [LONG[n : n + 1] for n in range(len(LONG))],
        [HEARTBEAT + LONG[:20]],
        [BEGUN, *[EMPTY] * 10_000],
        [BEGUN, *[PING] * 10_000],
        [BEGUN, *[PING[:3], PING[3:]] * 10_000],
        [PING[n : n + 1] for n in range(len(PING) - 1)],
    ],
    ids=[
        *("a byte", "all but a byte", "byte by byte", "behind a frame", "empty fragments"),
        *("pings", "pings in pieces", "a ping byte by byte"),
    ],
)
async def test_what_was_begun_must_be_complete_in_time(
    serve: Callable[[Endpoint], Awaitable[str]], open_wire: Open, parts: Iterable[bytes]
) -> None:
    """1002, like an idle client; control frames between the fragments extend nothing."""
    endpoint = Endpoint()
    wire = await open_wire(await serve(endpoint))

    code, lasted_s = await closed_after(wire, parts)

    assert code == 1002
    assert lasted_s >= FRAME_S - EARLY_S
    assert endpoint.counters.frames_timed_out == 1


async def test_each_frame_and_each_message_has_its_own_time(
    serve: Callable[..., Awaitable[str]], open_wire: Open
) -> None:
    """A client whose packets never end where its frames do goes on as long as it likes."""
    endpoint = Endpoint()
    wire = await open_wire(await serve(endpoint, frame_timeout_s=CALM_S))
    await wire.join("room:a")
    fragments = encode_frame('[null,"1",', Opcode.TEXT, is_final=False) + encode_frame(
        '"phoenix","heartbeat",{}]', Opcode.CONTINUATION
    )
    stream = (HEARTBEAT + fragments) * 12
    size = len(stream) // 24 + 1

    await send_slowly(wire, [stream[at : at + size] for at in range(0, len(stream), size)])

    assert all(answer[4]["status"] == "ok" for answer in await wire.recv_many(24))
    assert endpoint.counters.frames_timed_out == 0


async def test_a_frame_that_waits_for_a_join_is_not_late(
    serve: Callable[..., Awaitable[str]], open_wire: Open
) -> None:
    """During a join nothing is read, so the time for the rest begins after it."""
    endpoint = Endpoint()
    wire = await open_wire(await serve(endpoint, frame_timeout_s=CALM_S))
    join = encode_frame('["1","1","slow:a","phx_join",{}]')

    await wire.client.send_bytes(join + HEARTBEAT[:5])
    joined = await wire.recv()
    await asyncio.sleep(DROP_S)
    await wire.client.send_bytes(HEARTBEAT[5:])

    assert joined[4]["status"] == "ok"
    assert (await wire.recv())[2] == "phoenix"
    assert endpoint.counters.frames_timed_out == 0


async def test_without_the_option_a_frame_may_take_its_time(
    serve: Callable[..., Awaitable[str]], open_wire: Open
) -> None:
    """As in Phoenix."""
    wire = await open_wire(await serve(Endpoint(), frame_timeout_s=None))

    await send_slowly(wire, [HEARTBEAT[:3], HEARTBEAT[3:10], HEARTBEAT[10:]], FRAME_S)

    assert (await wire.recv())[2] == "phoenix"


class DeafMember:
    """A client that has joined and reads nothing; its system buffers little of what comes."""

    def __init__(self, wire: PhoenixWire) -> None:
        self.wire = wire
        self._transport: Any = wire.client._writer.transport
        self._buffer(20_000)
        self.stop()

    @classmethod
    async def join(cls, base_url: str, open_wire: Open) -> Self:
        """Join the room, and stop to read."""
        wire = await open_wire(base_url)
        await wire.join("room:a")
        return cls(wire)

    def _buffer(self, size_bytes: int) -> None:
        own = self._transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)

    def stop(self) -> None:
        """Read nothing."""
        self._transport.pause_reading()

    async def read_a_little(self) -> None:
        """Take what is there."""
        self._transport.resume_reading()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.stop()

    async def read_all(self, count: int) -> list[Any]:
        """Take so many messages, as quickly as they come."""
        self._buffer(1_000_000)
        self._transport.resume_reading()
        return await self.wire.recv_many(count)


def say(endpoint: Endpoint, count: int) -> None:
    """Broadcast so many messages of 50 kB."""
    for _ in range(count):
        endpoint.broadcast("room:a", "news", {"text": "x" * 50_000})


async def test_a_client_that_takes_nothing_is_closed(
    serve: Callable[[Endpoint], Awaitable[str]], open_wire: Open
) -> None:
    """Though its backlog is far from its limit."""
    endpoint = Endpoint(
        limits=Limits(send_timeout_s=SEND_S, max_outbox_bytes=1_000_000_000, close_timeout_s=0.2)
    )
    await DeafMember.join(await serve(endpoint), open_wire)
    begun_s = time.monotonic()
    say(endpoint, 200)
    async with asyncio.timeout(patient(10.0)):
        while endpoint.connections:
            await asyncio.sleep(0.02)
            say(endpoint, 1)  # what is added is not what is taken

    assert time.monotonic() - begun_s >= SEND_S - EARLY_S
    assert endpoint.counters.slow_clients_closed == 1


async def test_a_client_that_reads_slowly_is_not_closed(
    serve: Callable[[Endpoint], Awaitable[str]], open_wire: Open
) -> None:
    """A little at a time, for more than twice as long as it may take nothing."""
    endpoint = Endpoint(limits=Limits(send_timeout_s=CALM_S, max_outbox_bytes=100_000_000))
    member = await DeafMember.join(await serve(endpoint), open_wire)
    say(endpoint, 200)
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < 2.5 * CALM_S:
        await asyncio.sleep(CALM_S / 20)
        await member.read_a_little()

    heard = await member.read_all(200)

    assert all(message[3] == "news" for message in heard)
    assert endpoint.counters.slow_clients_closed == 0


async def test_a_client_that_catches_up_is_forgotten(
    serve: Callable[[Endpoint], Awaitable[str]], open_wire: Open
) -> None:
    """Nothing waits for it, so it may be silent."""
    endpoint = Endpoint(limits=Limits(send_timeout_s=SEND_S, max_outbox_bytes=100_000_000))
    member = await DeafMember.join(await serve(endpoint), open_wire)
    say(endpoint, 200)
    await member.read_all(200)

    await asyncio.sleep(2 * SEND_S)

    await member.wire.fence()
    assert endpoint.counters.slow_clients_closed == 0
