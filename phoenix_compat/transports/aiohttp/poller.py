"""Serves many sockets with one epoll, which the event loop watches like a single file.

With an asyncio transport, each message of a websocket costs a pass through the selector, a handle,
two calls and a context switch, and each connection costs a kilobyte of memory. Here one loop
callback serves all ready sockets in rounds. A round first receives from all its sockets, then
handles the bytes, then ends the held tick, which sends the output. Each of the three phases is
small enough for the processor's L1 cache; receiving and handling in turn costs 6 % more. The loop,
its timers and everything else remain asyncio's, or uvloop's.

Measured with `make bench`; see docs/performance.md.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Final

from phoenix_compat.accept.accepted import duplicate
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.transports.aiohttp.stream import StreamProtocol

IS_AVAILABLE: Final = hasattr(select, "epoll")

_READ: Final = getattr(select, "EPOLLIN", 0)
_WRITE: Final = getattr(select, "EPOLLOUT", 0)
_ROUND: Final = 64
"""How many sockets are served before the event loop's other work gets its turn."""

_SLOT_BYTES: Final = 2048
"""How much is received from each socket of a round at first; the rest follows right after it."""


_NULL_PROTOCOL: Final = asyncio.Protocol()
"""The protocol of a transport whose socket was detached; it ignores the end of the transport."""


class _DetachedSocket:
    """Replaces the socket of a transport after the socket was detached."""

    def close(self) -> None:
        """Do nothing; the transport calls this when it ends."""


_DETACHED_SOCKET: Final = _DetachedSocket()


def _detach_socket(transport: Any, shared: Any) -> socket.socket:
    """Return a socket for the connection of a transport that the transport will not close.

    Args:
        shared: the transport's public view of its socket.
    """
    own = getattr(transport, "_sock", None)
    if isinstance(own, socket.socket):  # asyncio; duplicating costs a tenth of a connect
        transport._sock = _DETACHED_SOCKET  # noqa: SLF001 - there is no public way to detach it
        return own
    return duplicate(shared)


def _drop_callbacks(transport: Any) -> None:
    """Let an aborted transport be freed at once: asyncio's refer to themselves by their methods.

    Else the garbage collector frees them, which costs more, and comes by for everything.
    """
    attributes = getattr(transport, "__dict__", {})
    for name in ("_read_ready_cb", "_write_ready"):  # the second since Python 3.12
        if name in attributes:
            attributes[name] = None


class Poller:
    """Serves streams. Has an epoll only while there are streams.

    Attributes:
        buffer, view: the buffer for what is too long for a stream's slot of a round.
    """

    __slots__ = ("_epoll", "_loop", "_slots", "_streams", "_tick", "buffer", "view")

    def __init__(self, tick: Tick, buffer: bytearray) -> None:
        self.buffer = buffer
        self.view = memoryview(buffer)
        self._tick = tick
        slots = [bytearray(_SLOT_BYTES) for _ in range(_ROUND)]
        self._slots = [(slot, memoryview(slot)) for slot in slots]
        self._streams: dict[int, PolledStream] = {}
        self._epoll: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def open(self, transport: asyncio.Transport) -> PolledStream | None:
        """Take over the connection of an asyncio transport, which is aborted.

        Returns:
            The stream, or None if the transport uses TLS or still has bytes to write.
        """
        shared = transport.get_extra_info("socket")
        if not IS_AVAILABLE or shared is None:
            return None
        if transport.get_extra_info("sslcontext") is not None or transport.get_write_buffer_size():
            return None
        own = _detach_socket(transport, shared)
        transport.set_protocol(_NULL_PROTOCOL)
        transport.abort()
        _drop_callbacks(transport)
        return PolledStream(self, own)

    # For the streams.

    def add(self, fd: int, stream: PolledStream) -> None:
        """Serve one more stream."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._epoll.fileno(), self._poll)
        self._streams[fd] = stream

    def watch(self, fd: int, old_events: int, events: int) -> None:
        """Change the events of a stream to wait for."""
        if not old_events:
            self._epoll.register(fd, events)
        elif events:
            self._epoll.modify(fd, events)
        else:
            self._epoll.unregister(fd)

    def remove(self, fd: int) -> None:
        """Stop serving a stream."""
        del self._streams[fd]
        if not self._streams and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = self._loop = None

    def _poll(self) -> None:
        """Serve the sockets that are ready: the hot path of everything that is received."""
        streams, tick = self._streams, self._tick
        slots, received = iter(self._slots), []
        tick.hold()
        try:
            for fd, events in self._epoll.poll(0, _ROUND):
                stream = streams[fd]
                if events != _READ:
                    try:
                        stream.react(events)
                    except Exception as error:  # noqa: BLE001 - a bug ends one connection, not all
                        stream.failed(error)
                    continue
                buffer, view = next(slots)
                try:
                    nbytes = stream.socket.recv_into(view)
                except OSError as error:
                    stream.cannot_receive(error)
                    continue
                received.append((stream, buffer, nbytes))
            for stream, buffer, nbytes in received:
                try:
                    if nbytes:
                        stream.protocol.received(buffer, nbytes)
                    else:
                        stream.ended()
                    if nbytes == _SLOT_BYTES:
                        stream.receive_more()
                except Exception as error:  # noqa: BLE001 - a bug ends one connection, not all
                    stream.failed(error)
        finally:
            tick.release()


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

    def __init__(self, poller: Poller, own: socket.socket) -> None:
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
        self._watch(_READ)

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._poller.watch(self._fd, self._events, events)
            self._events = events

    # For the poller.

    def react(self, events: int) -> None:
        """Handle events other than EPOLLIN alone."""
        if self._events & _READ and events & ~_WRITE:
            self.receive()
        elif events & ~(_READ | _WRITE) and not self._events & _WRITE:
            self._end_soon(None)
        if self._events & events & _WRITE:
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
        if self._events & _READ:
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
            self._watch(self._events & ~_WRITE)
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
            self._watch(self._events | _WRITE)
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
            self._watch(self._events | _WRITE)

    def pause_reading(self) -> None:
        """See Stream."""
        self._watch(self._events & ~_READ)

    def resume_reading(self) -> None:
        """See Stream."""
        if not self._is_closing:
            self._watch(self._events | _READ)

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
            self._watch(self._events & (_WRITE if self._rest is not None else 0))
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
