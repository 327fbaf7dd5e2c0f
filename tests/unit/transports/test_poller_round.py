"""A round of the poller: a bug with one stream ends only that stream."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.transports.aiohttp.poller import IS_AVAILABLE, Poller

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="this system has no epoll")


class Protocol:
    """The owner of a stream."""

    def __init__(self) -> None:
        self.heard = b""

    def received(self, buffer: bytearray, nbytes: int) -> None:
        """Record the bytes."""
        self.heard += bytes(buffer[:nbytes])


class Stream:
    """A stream with events from the test."""

    def __init__(self, own: socket.socket) -> None:
        self.socket = own
        self.protocol = Protocol()
        self.failures: list[Exception] = []

    def react(self, events: int) -> None:
        """Raise an error."""
        raise RuntimeError(events)

    def failed(self, error: Exception) -> None:
        """See PolledStream."""
        self.failures.append(error)


class Ready:
    """An epoll with these events."""

    def __init__(self, *events: tuple[int, int]) -> None:
        self._events = events

    def poll(self, _timeout_s: float, _most: int) -> tuple[tuple[int, int], ...]:
        """See select.epoll."""
        return self._events


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Three connected pairs of sockets."""
    pairs = [socket.socketpair() for _ in range(3)]
    yield pairs
    for pair in pairs:
        for one in pair:
            one.close()


def test_a_stream_that_fails_does_not_cost_the_others_their_bytes(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    """D8: Earlier and later bytes of the round are handled; only the one stream has failed."""
    streams: list[Any] = [Stream(ours) for ours, _ in pairs]
    for _, theirs in pairs:
        theirs.send(b"hello")
    poller = Poller(Tick(), bytearray(65_536))
    poller._streams = dict(enumerate(streams))
    poller._epoll = Ready(
        (0, select.EPOLLIN), (1, select.EPOLLIN | select.EPOLLOUT), (2, select.EPOLLIN)
    )

    poller._poll()

    assert [stream.protocol.heard for stream in streams] == [b"hello", b"", b"hello"]
    assert [len(stream.failures) for stream in streams] == [0, 1, 0]
