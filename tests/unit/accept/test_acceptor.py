"""Accepting: so many a turn, a few beyond the limit, and a pause when there are no descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from phoenix_compat.accept import Acceptor, Connections, acceptor, overflow
from phoenix_compat.accept.acceptor import ACCEPTS_PER_TURN
from phoenix_compat.accept.overflow import MAX_VISITS
from tests.patience import patient

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; `scene` has the deadline."""
    while not is_so():  # noqa: ASYNC110 - counters set no event
        await asyncio.sleep(0)


class Recorder(asyncio.Protocol):
    """An HTTP protocol that answers whatever comes, and closes."""

    def __init__(self, received: list[bytes]) -> None:
        self._received = received
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self._transport.write(b"served")
        self._transport.close()


class Listener(socket.socket):
    """A listening socket that can be out of descriptors.

    Attributes:
        error: what accepting raises, if anything.
        attempts: how often it was tried meanwhile.
    """

    error: int | None = None
    attempts = 0

    def _accept(self) -> Any:
        if self.error is not None:
            self.attempts += 1
            raise OSError(self.error, os.strerror(self.error))
        return super()._accept()  # type: ignore[misc] # not in the typeshed


class Scene:
    """A server with room for so many, and its clients."""

    def __init__(self, max_connections: int, max_per_address: int | None = None) -> None:
        self.connections = Connections(
            max_connections, max_per_address=max_per_address, is_uncounted=lambda _: False
        )
        self.received: list[bytes] = []
        self.listener = Listener()
        self.listener.bind(("127.0.0.1", 0))
        self.accepting = Acceptor(
            (self.listener,), lambda: Recorder(self.received), self.connections, ("/healthz",)
        )
        self._ends = AsyncExitStack()

    async def dial(self, data: bytes = b"") -> asyncio.StreamReader:
        """Connect and send this; what is answered can be read."""
        reader, writer = await asyncio.open_connection(*self.listener.getsockname())
        self._ends.callback(writer.close)
        writer.write(data)
        return reader

    async def fill(self) -> None:
        """Take all places."""
        while not self.connections.is_full:
            await self.dial()
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Drop all clients."""
        await self._ends.aclose()


@asynccontextmanager
async def scene(max_connections: int, max_per_address: int | None = None) -> AsyncIterator[Scene]:
    opened = Scene(max_connections, max_per_address)
    async with opened.accepting:
        try:
            async with asyncio.timeout(patient(20.0)):
                yield opened
        finally:
            await opened.leave()


async def test_beyond_the_limit_health_is_served_and_all_else_refused() -> None:
    """The health page by the HTTP protocol, told to close; 503 says when to come again."""
    async with scene(2) as here:
        await here.fill()
        served = await (await here.dial(HEALTH)).read()
        refused = await (await here.dial(OTHER)).read()
        head_only = await (await here.dial(OTHER.replace(b"GET", b"HEAD"))).read()

    assert served == b"served"
    assert here.received == [HEALTH.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost")]
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 5\r\n" in refused
    assert b"too-many-connections" in refused
    assert head_only.endswith(b"\r\n\r\n")
    assert here.connections.counts["refused_over_cap"] == 2


async def test_an_address_beyond_its_limit_is_refused() -> None:
    """Like a connection beyond the server's limit, but it says why; others have their places."""
    async with scene(10, max_per_address=1) as here:
        await here.dial()
        await until(lambda: here.connections.open == 1)
        served = await (await here.dial(HEALTH)).read()
        refused = await (await here.dial(OTHER)).read()

    assert served == b"served"
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"max_connections_per_address" in refused
    assert here.connections.counts["refused_per_address"] == 1
    assert here.connections.counts["refused_over_cap"] == 0


async def test_a_place_that_is_free_again_is_given_to_the_next() -> None:
    """The count falls when a descriptor is closed."""
    async with scene(1) as here:
        assert await (await here.dial(OTHER)).read() == b"served"
        await until(lambda: not here.connections.open)

        assert await (await here.dial(OTHER)).read() == b"served"


async def test_a_head_in_pieces_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within its time; one that is not complete by then is refused."""
    monkeypatch.setattr(overflow, "HEAD_S", 0.3)
    async with scene(1) as here:
        await here.fill()
        reader, writer = await asyncio.open_connection(*here.listener.getsockname())
        slow = await here.dial(HEALTH[:20])
        for piece in (HEALTH[:9], HEALTH[9:-1], HEALTH[-1:]):
            writer.write(piece)
            await asyncio.sleep(0.01)
        served = await reader.read()
        writer.close()
        refused = await slow.read()

    assert served == b"served"
    assert refused.startswith(b"HTTP/1.1 503 ")


async def test_a_head_without_end_is_refused() -> None:
    """At sixteen KiB."""
    async with scene(1) as here:
        await here.fill()
        refused = await here.dial(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000)

        assert (await refused.readuntil(b"\r\n")).startswith(b"HTTP/1.1 503 ")


async def test_the_oldest_makes_room_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of the extra places taken by clients that say nothing."""
    monkeypatch.setattr(overflow, "HEAD_S", 60.0)
    async with scene(1) as here:
        await here.fill()
        idle = []
        for _ in range(MAX_VISITS):
            idle.append(await here.dial())
            await until(lambda: len(here.accepting._overflow) == len(idle))

        served = await (await here.dial(HEALTH)).read()

        assert served == b"served"
        assert await idle[0].read() == b""
        assert len(here.accepting._overflow) == MAX_VISITS - 1
        assert here.connections.counts["refused_over_cap"] == 1


async def test_a_turn_accepts_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get their turn in between, however many wait."""
    monkeypatch.setattr(acceptor, "ACCEPTS_PER_TURN", 3)
    async with scene(100) as here:
        waiting = [socket.create_connection(here.listener.getsockname()) for _ in range(10)]
        counts = []
        while here.connections.open < 10:
            await asyncio.sleep(0)
            counts.append(here.connections.open)
        for one in waiting:
            one.close()

    assert ACCEPTS_PER_TURN == 64
    assert max(b - a for a, b in zip([0, *counts], counts, strict=False)) <= 3


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_out_of_descriptors_it_pauses(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of attempts, not thousands; soon after there are some it accepts again."""
    monkeypatch.setattr(acceptor, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(acceptor, "LAST_PAUSE_S", 0.04)
    async with scene(10) as here:
        here.listener.error = error
        waiting = await here.dial(OTHER)
        await until(lambda: here.connections.accept_errors >= 3)
        errors, attempts = here.connections.accept_errors, here.listener.attempts
        here.listener.error = None

        assert await waiting.read() == b"served"
        assert attempts <= 2 * errors


async def test_a_client_that_is_gone_already_is_no_reason_to_pause() -> None:
    """The next is accepted in the same turn."""
    async with scene(10) as here:
        here.listener.error = errno.ECONNABORTED
        served = await here.dial(OTHER)
        await until(lambda: here.listener.attempts > 0)
        here.listener.error = None

        assert await served.read() == b"served"
        assert here.connections.accept_errors == 0
