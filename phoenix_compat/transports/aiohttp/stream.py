"""The TCP connection under a websocket, after aiohttp's handshake.

    Stream        what a websocket connection asks of its TCP connection.
    LoopStream    one that is an asyncio transport: TLS, uvloop's pipes, systems without epoll.
    PolledStream  see poller: the usual one on Linux.

A stream keeps nothing back while the websocket is open: `send` takes what the socket has room for,
and what it did not take is the outbox's. Only the last words of a connection are kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Stream(Protocol):
    """A TCP connection."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Takes what there is room for, now, and says how many bytes; or raises OSError."""

    def write(self, data: bytes) -> None:
        """Take all of it, and send it as there is room. Nothing may be sent otherwise after it."""

    def want_room(self) -> None:
        """Call the protocol's `resume_writing` as soon as there is room."""

    def pause_reading(self) -> None:
        """Receive nothing more."""

    def resume_reading(self) -> None:
        """Receive again."""

    def write_eof(self) -> None:
        """Close our half, once all is written."""

    def close(self) -> None:
        """End the connection, once all is written; receive nothing more."""

    def abort(self) -> None:
        """End the connection now."""


class StreamProtocol(Protocol):
    """What a stream tells its owner."""

    def received(self, buffer: bytearray, nbytes: int) -> None:
        """So many bytes were received into this buffer, which is another's after the call."""

    def resume_writing(self) -> None:
        """There is room, as was asked for."""

    def eof_received(self) -> None:
        """The peer sends nothing more; the stream closes after this."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""


class LoopStream:
    """A stream that is an asyncio transport."""

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=0)  # tell us whenever something waits
        self._transport = transport

    def send(self, data: bytes) -> int:
        """See Stream. All or nothing: the transport keeps what the socket does not take."""
        if self._transport.get_write_buffer_size():
            return 0
        self._transport.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """See Stream."""
        self._transport.write(data)

    def want_room(self) -> None:
        """See Stream. The transport tells by itself when its buffer is empty."""

    def pause_reading(self) -> None:
        """See Stream."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See Stream."""
        self._transport.resume_reading()

    def write_eof(self) -> None:
        """See Stream. TLS knows no half-closed connection."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """See Stream."""
        self._transport.close()

    def abort(self) -> None:
        """See Stream."""
        self._transport.abort()
