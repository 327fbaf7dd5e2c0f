"""A long-poll session: its wire, what it counts, and the limits of one client."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat import Endpoint, Limits
from phoenix_compat.protocol.message import BinaryFrame
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.transports.session import NOT_TEXT, LongPollSession, LongPollWire
from tests.patience import patient
from tests.serving import accepting
from tests.unit.runtime.harness import OpenChannel, settle
from tests.unit.transports.hubs import LongPoll

JOIN = b'["1","1","room:a","phx_join",{}]'


@pytest.mark.parametrize("text", ["", "[]", '["ü","\\n"]', "\u2028"])
def test_a_text_in_a_list(text: str) -> None:
    """A frame is an entry of a JSON list, which can be read back."""
    wire = Endpoint().wire(LongPollWire, V2)

    packet = wire.pack(text.encode())

    assert packet.endswith(b",")
    assert wire.unpack(packet) == text.encode()
    assert wire.transport == "longpoll"


def test_bytes_in_a_list() -> None:
    """Only those that are text."""
    wire = Endpoint().wire(LongPollWire, V2)

    assert wire.unpack(wire.pack(BinaryFrame(b"abc"))) == b"abc"
    assert wire.pack(BinaryFrame(b"\xff")) == NOT_TEXT
    assert wire.unpack(NOT_TEXT) is None


async def a_session(endpoint: Endpoint | None = None) -> tuple[LongPoll, LongPollSession]:
    """A server with one session."""
    server = LongPoll(accepting({"room:*": OpenChannel}), endpoint=endpoint)
    await server.open()
    (session,) = server.hub._own
    return server, session


async def test_a_session_is_closed_once() -> None:
    """With the reason; afterwards messages are not handled, and a poll gets nothing."""
    server, session = await a_session()

    session.close(1000, ("shutdown", "test"))
    session.close(1000, ("shutdown", "again"))
    session.drain()

    assert session.server.closed_for == ("shutdown", "test")
    assert server.endpoint.counters.sockets_closed == 1
    assert not await session.publish(JOIN, is_binary=False, window_s=0.001)
    assert await session.poll(0.001) == b""
    assert (session.is_drained, server.endpoint.counters.drained) == (False, 0)


async def test_sessions_that_are_drained_are_counted() -> None:
    """Each once; they take no more messages."""
    server, session = await a_session()
    await server.open()

    for _ in range(2):
        for each in list(server.hub._own):
            each.drain()

    assert session.is_drained
    assert server.endpoint.counters.drained == 2
    assert not await session.publish(JOIN, is_binary=False, window_s=patient(5.0))


async def test_a_poll_that_waits_at_the_end() -> None:
    """It gets what was sent before, and only that."""
    _, session = await a_session()
    await session.publish(JOIN, is_binary=False, window_s=patient(5.0))
    before = await session.poll(patient(5.0))
    poll = asyncio.create_task(session.poll(0.05))
    await settle()

    session.close(0, ("shutdown", "closed"))

    assert before.count(b"phx_reply") == 1
    assert await poll == b""


async def test_slow_clients_are_counted_and_ended() -> None:
    """Each once, when the current turn has ended."""
    server, session = await a_session(
        Endpoint(limits=Limits(max_outbox_bytes=100), secret_key_base="x" * 64)
    )
    await server.open()
    sessions = list(server.hub._own)
    for each in sessions:
        await each.publish(JOIN, is_binary=False, window_s=patient(5.0))

    for _ in range(3):
        server.endpoint.broadcast("room:a", "news", {"text": "x" * 80})
    await settle()

    assert server.endpoint.counters.slow_clients_closed == 2
    assert len(server.hub) == 0
    assert session.name not in server.hub._sessions


async def test_a_hundred_messages_may_wait_behind_a_join() -> None:
    """One more is refused at once; those that wait are handled in order."""
    _, session = await a_session()
    session.server.is_blocked = True
    posts = [
        asyncio.create_task(
            session.publish(
                b'[null,"%d","phoenix","heartbeat",{}]' % number,
                is_binary=False,
                window_s=patient(5.0),
            )
        )
        for number in range(100)
    ]
    await settle()

    refused = await session.publish(b"[]", is_binary=False, window_s=patient(60.0))
    session.server.go_on()
    handled = await asyncio.gather(*posts)

    assert not refused
    assert handled == [True] * 100
    frames = (await session.poll(patient(5.0))).count(b"phx_reply")
    assert frames == 100
