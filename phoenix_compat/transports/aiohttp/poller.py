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
from typing import Any, Final, Protocol

from phoenix_compat.accept.accepted import duplicate
from phoenix_compat.transports.aiohttp.polled_stream import READ, PolledStream

IS_AVAILABLE: Final = hasattr(select, "epoll")

_ROUND: Final = 64
_SLOT_BYTES: Final = 2048


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


class HeldTick(Protocol):
    """What ends when a round ends, and not before. See runtime.sending.tick.Tick."""

    def hold(self) -> None:
        """Let nothing end it."""

    def release(self) -> None:
        """End it."""


class Poller:
    """Serves streams. Has an epoll only while there are streams, unless it is to be kept.

    Args:
        sockets_per_round: how many are served before the event loop's other work gets its turn.
        slot_bytes: how much is received from each socket of a round at first; the rest follows
            right after it.
        keeps_epoll: whether the epoll stays open until `close`; for streams that come and go.

    Attributes:
        buffer, view: the buffer for what is too long for a stream's slot of a round.
    """

    __slots__ = (
        "_epoll",
        "_keeps_epoll",
        "_loop",
        "_slot_bytes",
        "_slots",
        "_streams",
        "_tick",
        "buffer",
        "view",
    )

    def __init__(
        self,
        tick: HeldTick,
        buffer: bytearray,
        *,
        sockets_per_round: int = _ROUND,
        slot_bytes: int = _SLOT_BYTES,
        keeps_epoll: bool = False,
    ) -> None:
        self.buffer = buffer
        self.view = memoryview(buffer)
        self._tick = tick
        slots = [bytearray(slot_bytes) for _ in range(sockets_per_round)]
        self._slots = [(slot, memoryview(slot)) for slot in slots]
        self._slot_bytes = slot_bytes
        self._keeps_epoll = keeps_epoll
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
        if not self._streams and not self._keeps_epoll:
            self._close_epoll()

    def close(self) -> None:
        """Abort all streams, and keep no epoll."""
        self._keeps_epoll = False
        for stream in tuple(self._streams.values()):
            stream.abort()
        if not self._streams:
            self._close_epoll()

    def _close_epoll(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = self._loop = None

    def _poll(self) -> None:
        """Serve the sockets that are ready: the hot path of everything that is received."""
        streams, tick, slot_bytes = self._streams, self._tick, self._slot_bytes
        slots, received = iter(self._slots), []
        tick.hold()
        try:
            for fd, events in self._epoll.poll(0, len(self._slots)):
                stream = streams[fd]
                if events != READ:
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
                    if nbytes == slot_bytes:
                        stream.receive_more()
                except Exception as error:  # noqa: BLE001 - a bug ends one connection, not all
                    stream.failed(error)
        finally:
            tick.release()
