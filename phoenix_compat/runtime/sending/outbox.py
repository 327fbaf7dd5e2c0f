"""Writes finished frames to one client; nothing else writes to it.

    Outbox   one client. Writes directly if nothing is queued; otherwise queues, in order.
    Backlog  the unsent frames of a slow client; exists only while the client is slow.

Rules:
1. Frames are written in the order in which they were produced, both replies and broadcasts.
2. A client that is in only one fanout, and gets nothing but broadcasts in a tick, shares the
   fanout's bytes. If it also gets a frame of its own in that tick, it is *detached*: its own queue
   starts with a copy of the fanout's frames, and later broadcasts are appended to that queue.
3. A client in several fanouts always uses its own queue.
4. While a transport handles a batch of messages (a held tick), replies are buffered and written
   after it. Waking each client during the batch would cost more than the writes.
5. A client whose socket buffer is full is slow: it is detached until its backlog is written. Of
   broadcasts that may replace each other the backlog keeps the newest. A client with a backlog of
   more than `max_outbox_bytes` is closed as too slow (centrifuge's policy), and counted. A single
   message of any size is allowed.

This costs nothing for a client that is not slow: a slow client has another `write` function, so
there is no check on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from phoenix_compat.protocol.message import Frame
from phoenix_compat.runtime.sending.tick import LONG_BYTES
from phoenix_compat.runtime.sending.topic_fanout import TopicFanout
from phoenix_compat.runtime.sending.wire import ByteWire

_CHUNK_BYTES: Final = 256 * 1024
"""How much of a backlog is offered to the socket at once."""

_MAX_QUEUED: Final = 64
"""The limit of queued frames per client and tick; when it is reached, they are written early."""


class Sink(Protocol):
    """The connection that an outbox writes to."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Write what fits into the socket buffer and return the number of bytes.

        Raises:
            OSError: nothing was written.
        """

    def write_final(self, data: bytes) -> None:
        """Write the last bytes of the connection; buffer what does not fit."""

    def notify_when_writable(self) -> None:
        """Call `resume` as soon as the socket is writable, or `take` the backlog."""

    def overflowed(self) -> None:
        """Close a client that is too slow, after the current call has returned."""

    def broken(self, error: OSError) -> None:
        """Drop a connection that cannot be written to, after the current call has returned."""


class Backlog:
    """The unsent frames of a slow client, oldest first.

    Attributes:
        size_bytes: the size of all unsent bytes.
    """

    __slots__ = ("_frames", "_rest", "size_bytes")

    def __init__(self) -> None:
        self._rest = b""
        self._frames: dict[object, bytes] = {}
        self.size_bytes = 0

    def add(self, packet: bytes, key: object) -> bool:
        """Add a frame at the end; return whether it replaced an older one with the same key.

        Args:
            key: None for a frame that replaces none.
        """
        older = None if key is None else self._frames.pop(key, None)
        if older is not None:
            self.size_bytes -= len(older)
        self._frames[object() if key is None else key] = packet
        self.size_bytes += len(packet)
        return older is not None

    def put_back(self, rest: bytes) -> None:
        """Store the unsent rest of a frame; it is the first to be taken again."""
        self._rest = rest
        self.size_bytes += len(rest)

    def take(self, max_bytes: int | None = None) -> bytes:
        """Remove and return the oldest frames: about `max_bytes` of whole frames, or all."""
        if max_bytes is None or self.size_bytes <= max_bytes:
            taken = [self._rest, *self._frames.values()]
            self._frames.clear()
            self.size_bytes = 0
        else:
            taken, taken_bytes = [self._rest], len(self._rest)
            while self._frames and taken_bytes < max_bytes:
                packet = self._frames.pop(next(iter(self._frames)))
                taken.append(packet)
                taken_bytes += len(packet)
            self.size_bytes -= taken_bytes
        self._rest = b""
        return b"".join(taken)

    def drop_frames(self) -> None:
        """Remove all frames except the rest of a partly written one."""
        self._frames.clear()
        self.size_bytes = len(self._rest)


def _discard_bytes(data: bytes) -> int:
    """Replaces `write` after the client was closed."""
    return len(data)


class Outbox:
    """The outgoing frames of one client.

    Attributes:
        wire: the client's serializer and framing.
        write: for fanouts: writes now, past the queue, and returns how many bytes were written. If
            it raises OSError or does not write everything, call `write_failed`.
        held_frame: the single frame that waits for the end of a held tick; the first of that tick.
        fanout: for fanouts: the client's fanout, if it is in only one.
        fanout_count: for fanouts: how many fanouts the client is in.
        tap: set only while the client is watched; see `watching`.
    """

    tap: Any
    __slots__ = (
        "_backlog",
        "_queue",
        "_sink",
        "fanout",
        "fanout_count",
        "held_frame",
        "tap",
        "wire",
        "write",
    )

    def __init__(self, wire: ByteWire, sink: Sink) -> None:
        self.wire = wire
        self.write: Callable[[bytes], int] = sink.send
        self.held_frame: bytes | None = None
        self.fanout: TopicFanout | None = None
        self.fanout_count = 0
        self._sink = sink
        self._queue: list[bytes] | None = None
        self._backlog: Backlog | None = None

    @property
    def is_queueing(self) -> bool:
        """Whether the outbox has its own queue in this tick."""
        return self._queue is not None

    @property
    def is_slow(self) -> bool:
        """Whether the client has a backlog."""
        return self._backlog is not None

    @property
    def unsent_bytes(self) -> int:
        """The size of the frames that the client has not taken yet."""
        queued = 0 if self._queue is None else sum(map(len, self._queue))
        return queued + (0 if self._backlog is None else self._backlog.size_bytes)

    def send(self, packet: bytes) -> None:
        """Write or queue a packed message, after everything that was produced before it."""
        queue = self._queue
        if queue is None:
            if self._backlog is not None:
                self.write(packet)
                return
            fanout = self.fanout
            if fanout is None or not fanout.pending:
                tick = self.wire.tick
                if not tick.is_held:
                    self.write_out(packet)
                    return
                if self.held_frame is None:
                    self.held_frame = packet
                    tick.held_outboxes.append(self)
                    return
            queue = self.detach()
        queue.append(packet)
        if len(queue) >= _MAX_QUEUED or len(packet) > LONG_BYTES:
            self._write_early(queue)

    def send_frame(self, frame: Frame) -> None:
        """Pack and write an encoded message."""
        wire = self.wire
        packet = wire.pack(frame)
        wire.frames_sent += 1
        wire.bytes_sent += len(packet)
        self.send(packet)

    def enqueue(self, packet: bytes, key: object) -> None:
        """Queue a frame until the end of the tick; for fanouts.

        Args:
            key: for a slow client, the frame replaces an unsent one with the same key; or None.
        """
        if self._backlog is not None:
            self._write_to_backlog(packet, key)
            return
        queue = self._queue
        if queue is None:
            queue = self._start_queue([])
        queue.append(packet)
        if len(queue) >= _MAX_QUEUED or len(packet) > LONG_BYTES:
            self._write_early(queue)

    def _start_queue(self, queue: list[bytes]) -> list[bytes]:
        """Use this queue until the tick ends; a held frame goes to its front."""
        self.wire.tick.add_outbox(self)
        if self.held_frame is not None:
            queue.insert(0, self.held_frame)
            self.held_frame = None
        self._queue = queue
        return queue

    def expect_more(self) -> None:
        """Queue all frames of this tick, because more than one will follow."""
        if self._queue is None and self._backlog is None:
            self.detach()

    def detach(self) -> list[bytes]:
        """Use an own queue until the tick ends, starting with a copy of the fanout's frames."""
        queue = self._queue
        if queue is None:
            queue = self._start_queue([] if self.fanout is None else self.fanout.pending.copy())
            if self.fanout is not None:
                self.fanout.mark_detached(self)
        return queue

    def detach_from_now(self) -> None:
        """Use an own queue until the tick ends, without the fanout's earlier frames."""
        if self._queue is None and self._backlog is None:
            self._start_queue([])
        if self.fanout is not None:
            self.fanout.mark_detached(self)

    def flush(self) -> None:
        """Write the queue at the end of the tick."""
        queue, self._queue = self._queue, None
        if self._backlog is not None:
            return
        if self.fanout is not None:
            self.fanout.unmark_detached(self)
        if queue:
            self.write_out(queue[0] if len(queue) == 1 else b"".join(queue))

    def _write_early(self, queue: list[bytes]) -> None:
        """Write the queue before the tick ends, and stay detached until then."""
        data = b"".join(queue)
        queue.clear()
        self.write_out(data)
        if self._backlog is not None:
            self._queue = None

    def write_out(self, data: bytes) -> None:
        """Write now, past the queue; unsent bytes go to the backlog."""
        try:
            sent = self.write(data)
        except OSError as error:
            self.write_failed(data, 0, error)
        else:
            if sent != len(data):
                self.write_failed(data, sent)

    # Slow clients.

    def write_failed(self, data: bytes, sent: int, error: OSError | None = None) -> None:
        """Handle a `write` that wrote only `sent` bytes of the data, or raised the error."""
        if error is not None and not isinstance(error, BlockingIOError | InterruptedError):
            self.write = _discard_bytes
            self._sink.broken(error)
            return
        self.start_backlog().put_back(data[sent:])
        self._sink.notify_when_writable()

    def start_backlog(self) -> Backlog:
        """Put all frames from now on into a backlog, until `resume` or `take`."""
        if self._backlog is None:
            self._backlog = Backlog()
            self.write = self._write_to_backlog
            if self.fanout is not None:
                self.fanout.mark_detached(self)
        return self._backlog

    def _write_to_backlog(self, packet: bytes, key: object = None) -> int:
        """Add a frame to the backlog. Replaces `write` while the client is slow."""
        backlog, wire = self.start_backlog(), self.wire
        if self.write is _discard_bytes:
            return len(packet)
        unsent_bytes = backlog.size_bytes
        if backlog.add(packet, key):
            wire.counters.frames_replaced += 1
        if unsent_bytes and backlog.size_bytes > wire.max_outbox_bytes:
            self.write = _discard_bytes
            backlog.drop_frames()
            self._sink.overflowed()
            return len(packet)
        self._sink.notify_when_writable()
        return len(packet)

    def resume(self) -> None:
        """Write the backlog to a writable socket; when it is empty, the client is not slow."""
        backlog = self._backlog
        if backlog is None or self.write is _discard_bytes:
            return
        while data := backlog.take(_CHUNK_BYTES):
            try:
                sent = self._sink.send(data)
            except OSError as error:
                self.write_failed(data, 0, error)
                return
            if sent != len(data):
                self.write_failed(data, sent)
                return
        self._backlog = None
        self.write = self._sink.send
        if self.fanout is None:
            return
        if self.fanout.pending:  # they were in the backlog; the fanout must not write them again
            self._start_queue([])
        else:
            self.fanout.unmark_detached(self)

    def take(self) -> bytes:
        """Remove and return the backlog, for a client that polls."""
        return b"" if self._backlog is None else self._backlog.take()

    # The end.

    def close(self, last: bytes) -> None:
        """Write all unsent frames and then `last`; everything later is dropped.

        A client that was too slow gets `last` right after the frame that is partly written.
        """
        if self._backlog is not None:
            unsent = self._backlog.take()
        elif self.write is _discard_bytes:
            unsent = b""
        else:
            unsent = b"".join(self.detach())
        self._sink.write_final(unsent + last)
        self.discard()

    def discard(self) -> None:
        """Drop all frames, now and later, because the client has disconnected."""
        self.write = _discard_bytes
        self.held_frame = None
        if self._queue is not None:
            self._queue.clear()
        if self._backlog is not None:
            self._backlog.take()
