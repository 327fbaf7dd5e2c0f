"""The TCP connection of a websocket, after aiohttp's handshake.

    Stream        what a websocket connection needs of its TCP connection.
    LoopStream    a stream on an asyncio transport: for TLS, uvloop's pipes, systems without epoll.
    PolledStream  the usual stream on Linux; see poller.

A stream buffers nothing while the websocket is open: `send` writes what fits into the socket
buffer, and the outbox keeps the rest. Only the last bytes of a connection are buffered here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Stream(Protocol):
    """A TCP connection."""

    @property
    def socket(self) -> Any:
        """The socket, or what the transport shows of it."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Write what fits into the socket buffer and return the number of bytes.

        Raises:
            OSError: nothing was written.
        """

    def write_final(self, data: bytes) -> None:
        """Write the last bytes of the connection, buffering them as needed; no `send` after it."""

    def notify_when_writable(self) -> None:
        """Call the protocol's `resume_writing` as soon as the socket is writable."""

    def pause_reading(self) -> None:
        """Stop receiving."""

    def resume_reading(self) -> None:
        """Start receiving again."""

    def write_eof(self) -> None:
        """Close the sending half, after everything is written."""

    def close(self) -> None:
        """Stop receiving, and end the connection after everything is written."""

    def abort(self) -> None:
        """End the connection now."""


class StreamProtocol(Protocol):
    """The owner of a stream, which gets its events."""

    def received(self, buffer: bytearray, nbytes: int) -> None:
        """Handle received bytes. The buffer may be reused after the call."""

    def resume_writing(self) -> None:
        """Write on, after `notify_when_writable`."""

    def eof_received(self) -> None:
        """Handle the end of the peer's data; the stream closes after this."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""


class LoopStream:
    """A stream on an asyncio transport."""

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=0)  # call pause_writing for any unsent byte
        self._transport = transport

    @property
    def socket(self) -> Any:
        """See Stream."""
        return self._transport.get_extra_info("socket")

    def send(self, data: bytes) -> int:
        """See Stream. Writes all or nothing: the transport buffers what is not sent."""
        if self._transport.get_write_buffer_size():
            return 0
        self._transport.write(data)
        return len(data)

    def write_final(self, data: bytes) -> None:
        """See Stream."""
        self._transport.write(data)

    def notify_when_writable(self) -> None:
        """Do nothing; the transport calls `resume_writing` itself when its buffer is empty."""

    def pause_reading(self) -> None:
        """See Stream."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See Stream."""
        self._transport.resume_reading()

    def write_eof(self) -> None:
        """See Stream. TLS does not support half-closed connections."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """See Stream."""
        self._transport.close()

    def abort(self) -> None:
        """See Stream."""
        self._transport.abort()
