"""A stream on a socket that a poller serves. See `poller`."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Final, Protocol

from phoenix_compat.transports.aiohttp.stream import StreamProtocol

READ: Final = getattr(select, "EPOLLIN", 0)
WRITE: Final = getattr(select, "EPOLLOUT", 0)


class StreamPoller(Protocol):
    """What a stream needs of its poller; see poller.Poller."""

    buffer: bytearray
    view: memoryview

    def add(self, fd: int, stream: PolledStream) -> None:
        """Serve one more stream."""

    def watch(self, fd: int, old_events: int, events: int) -> None:
        """Change the events of a stream to wait for."""

    def remove(self, fd: int) -> None:
        """Stop serving a stream."""


class PolledStream:
    """A stream on a socket that the poller serves. See stream.Stream.

    Attributes:
        socket: the socket, from which the poller receives.
        protocol: the stream's owner.
        send: the socket's `send`.
    """

    __slots__ = (
        "_events",
        "_fd",
        "_is_closing",
        "_is_ending",
        "_is_eof_due",
        "_poller",
        "_rest",
        "protocol",
        "send",
        "socket",
    )

    def __init__(self, poller: StreamPoller, own: socket.socket) -> None:
        self.socket = own
        self.send: Callable[[bytes], int] = own.send
        self.protocol: StreamProtocol
        self._poller = poller
        self._fd = own.fileno()
        self._events = 0
        self._rest: memoryview | None = None
        self._is_closing = False
        self._is_ending = False
        self._is_eof_due = False

    def start(self, protocol: StreamProtocol) -> None:
        """Start to receive for this owner."""
        self.protocol = protocol
        self._poller.add(self._fd, self)
        self._watch(READ)

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._poller.watch(self._fd, self._events, events)
            self._events = events

    def release(self) -> socket.socket:
        """Give the socket away; its owner hears nothing more of it."""
        self._watch(0)
        self._is_closing = self._is_ending = True
        self._poller.remove(self._fd)
        del self.protocol
        return self.socket

    # For the poller.

    def react(self, events: int) -> None:
        """Handle events other than EPOLLIN alone."""
        if self._events & READ and events & ~WRITE:
            self.receive()
        elif events & ~(READ | WRITE) and not self._events & WRITE:
            self._end_soon(None)
        if self._events & events & WRITE:
            self._write_ready()

    def receive(self) -> None:
        """Receive once."""
        try:
            nbytes = self.socket.recv_into(self._poller.view)
        except OSError as error:
            self.cannot_receive(error)
            return
        try:
            if nbytes:
                self.protocol.received(self._poller.buffer, nbytes)
            else:
                self.ended()
        except Exception as error:  # noqa: BLE001 - a bug ends one connection, not all
            self.failed(error)

    def receive_more(self) -> None:
        """Receive what did not fit into the slot of a round, unless the owner paused reading."""
        if self._events & READ:
            self.receive()

    def cannot_receive(self, error: OSError) -> None:
        """Handle an error of `recv`: end the connection, unless there was just nothing to read."""
        if not isinstance(error, BlockingIOError | InterruptedError):
            self._end_soon(error)

    def ended(self) -> None:
        """Handle the end of the peer's data."""
        self.protocol.eof_received()
        self.close()

    def failed(self, error: Exception) -> None:
        """Report an error that the owner raised, which is a bug, and end the connection."""
        context = {"message": "a websocket connection failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        self._end_soon(error)

    def _write_ready(self) -> None:
        if self._rest is not None:
            self._send_rest()
        if self._rest is None and not self._is_ending:
            self._watch(self._events & ~WRITE)
            self.protocol.resume_writing()

    # For the owner.

    def write_final(self, data: bytes) -> None:
        """See Stream."""
        if self._is_ending:
            return
        if self._rest is not None:
            self._rest = memoryview(bytes(self._rest) + data)
        elif data:
            self._rest = memoryview(data)
            self._send_rest()

    def _send_rest(self) -> None:
        rest = self._rest
        if rest is None:
            return
        try:
            sent = self.socket.send(rest)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._end_soon(error)
            return
        if sent < len(rest):
            self._rest = rest[sent:]
            self._watch(self._events | WRITE)
            return
        self._rest = None
        self._written()

    def _written(self) -> None:
        """Shut down or close the socket, if this had to wait for the last bytes."""
        if self._is_eof_due:
            self._is_eof_due = False
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._end_soon(error)
        if self._is_closing:
            self._end_soon(None)

    def notify_when_writable(self) -> None:
        """See Stream."""
        if not self._is_closing:
            self._watch(self._events | WRITE)

    def pause_reading(self) -> None:
        """See Stream."""
        self._watch(self._events & ~READ)

    def resume_reading(self) -> None:
        """See Stream."""
        if not self._is_closing:
            self._watch(self._events | READ)

    def write_eof(self) -> None:
        """See Stream."""
        if not self._is_closing:
            self._is_eof_due = True
            if self._rest is None:
                self._written()

    def close(self) -> None:
        """See Stream."""
        if not self._is_closing:
            self._is_closing = True
            self._watch(self._events & (WRITE if self._rest is not None else 0))
            if self._rest is None:
                self._end_soon(None)

    def abort(self) -> None:
        """See Stream."""
        self._end_soon(None)

    def _end_soon(self, error: Exception | None) -> None:
        """End the connection; its owner is notified after the current callback."""
        if not self._is_ending:
            self._is_closing = self._is_ending = True
            self._rest = None
            self._watch(0)
            asyncio.get_running_loop().call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        try:
            self.protocol.connection_lost(error)
        finally:
            self._poller.remove(self._fd)
            self.socket.close()
            del self.protocol
