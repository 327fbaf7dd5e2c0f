"""Finished frames on their way out: the only thing that writes to a client.

    Outbox   one client. Writes at once while nothing waits; else queues, in order.
    Backlog  what a client that does not read has waiting for it; exists only while it is slow.

Rules:
1. Order in the outbox is the order in which things were produced, whatever their way.
2. A client that is in one fanout only, and hears nothing but broadcasts in a tick, shares the
fanout's
   bytes. One that also gets something of its own in that tick is *detached*: it takes a copy of the
   fanout's frames so far into a queue of its own, and further broadcasts are appended to that
   queue.
3. A client in several fanouts always queues on its own.
4. While a transport hands on a batch of messages (a held tick), answers are written after it, one
   after another: a client that is woken by each while the server works costs more than the writing.
5. A client whose socket is full is slow: it is detached until it has read what waits. Of broadcasts
   that may replace each other only the newest waits. One that would have more than
   `max_outbox_bytes` waiting is closed as too slow (centrifuge's policy), and counted. A single
   message of any size may wait alone.

None of this costs a client that reads: being slow is another `write` function, not a question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from phoenix_compat.protocol.message import Frame
from phoenix_compat.runtime.tick import LONG_BYTES
from phoenix_compat.runtime.topic_fanout import TopicFanout
from phoenix_compat.runtime.wire import ByteWire

_CHUNK_BYTES: Final = 256 * 1024
"""So much of a backlog is offered to the socket at once."""

_MAX_QUEUED: Final = 64
"""So many frames of one tick wait for its end; then they are written before it."""


class Sink(Protocol):
    """What an outbox writes to: a connection."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Takes what there is room for, now, and says how many bytes; or raises OSError."""

    def write(self, data: bytes) -> None:
        """Take all of the last words, whether there is room or not."""

    def want_room(self) -> None:
        """Something waits: call `resume` as soon as there is room, or `take` it."""

    def overflowed(self) -> None:
        """The client is too slow: close it, but not before the caller is done."""

    def broken(self, error: OSError) -> None:
        """The socket cannot be written to: drop it, but not before the caller is done."""


class Backlog:
    """Frames that wait for a client that does not read, oldest first.

    Attributes:
        size_bytes: how much waits.
    """

    __slots__ = ("_frames", "_rest", "size_bytes")

    def __init__(self) -> None:
        self._rest = b""
        self._frames: dict[object, bytes] = {}
        self.size_bytes = 0

    def add(self, packet: bytes, key: object) -> bool:
        """Add a frame at the end; whether it replaced an older one with the same key.

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
        """What the socket did not take of the bytes last taken, or of a write: it is next."""
        self._rest = rest
        self.size_bytes += len(rest)

    def take(self, at_most_bytes: int | None = None) -> bytes:
        """Remove the oldest, whole frames up to about so many bytes; all when not said."""
        if at_most_bytes is None or self.size_bytes <= at_most_bytes:
            taken = [self._rest, *self._frames.values()]
            self._frames.clear()
            self.size_bytes = 0
        else:
            taken, taken_bytes = [self._rest], len(self._rest)
            while self._frames and taken_bytes < at_most_bytes:
                packet = self._frames.pop(next(iter(self._frames)))
                taken.append(packet)
                taken_bytes += len(packet)
            self.size_bytes -= taken_bytes
        self._rest = b""
        return b"".join(taken)

    def drop_frames(self) -> None:
        """Forget all but the rest of a frame that was begun."""
        self._frames.clear()
        self.size_bytes = len(self._rest)


def _discard_bytes(data: bytes) -> int:
    """What writing to a closed client does."""
    return len(data)


class Outbox:
    """One client's way out.

    Attributes:
        wire: the kind of bytes the client takes.
        write: write now, past the queue, and say how many bytes were taken; for the fanouts and
        this
            class. It may raise OSError; `stuck` is what to do then.
        first: what waits alone for the end of a held tick; produced before all else of the tick.
        fanout, fanout count: for the fanouts: the only fanout the client is in, and how many there
        are.
    """

    __slots__ = ("_backlog", "_queue", "_sink", "fanout", "fanout_count", "first", "wire", "write")

    def __init__(self, wire: ByteWire, sink: Sink) -> None:
        self.wire = wire
        self.write: Callable[[bytes], int] = sink.send
        self.first: bytes | None = None
        self.fanout: TopicFanout | None = None
        self.fanout_count = 0
        self._sink = sink
        self._queue: list[bytes] | None = None
        self._backlog: Backlog | None = None

    @property
    def is_queueing(self) -> bool:
        """Whether something waits for the end of the tick."""
        return self._queue is not None

    @property
    def is_slow(self) -> bool:
        """Whether the client has yet to read what waits."""
        return self._backlog is not None

    def send(self, packet: bytes) -> None:
        """Write a frame, after everything that was produced before it."""
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
                if self.first is None:
                    self.first = packet
                    tick.firsts.append(self)
                    return
            queue = self.detach()
        queue.append(packet)
        if len(queue) >= _MAX_QUEUED or len(packet) > LONG_BYTES:
            self._write_early(queue)

    def send_frame(self, frame: Frame) -> None:
        """Write an encoded message."""
        self.send(self.wire.pack(frame))

    def enqueue(self, packet: bytes, key: object) -> None:
        """Queue a frame until the end of the tick; for the fanouts.

        Args:
            key: what a slow client need hear only the newest of, or None.
        """
        if self._backlog is not None:
            self._wait(packet, key)
            return
        queue = self._queue
        if queue is None:
            queue = self._begin_queue([])
        queue.append(packet)
        if len(queue) >= _MAX_QUEUED or len(packet) > LONG_BYTES:
            self._write_early(queue)

    def _begin_queue(self, so_far: list[bytes]) -> list[bytes]:
        """Queue until the tick ends, behind what waits alone and what the fanout holds."""
        if self.first is not None:
            so_far.insert(0, self.first)
            self.first = None
        self._queue = so_far
        self.wire.tick.add_outbox(self)
        return so_far

    def expect_more(self) -> None:
        """More is to come in this tick: write it together when the tick ends."""
        if self._queue is None and self._backlog is None:
            self.detach()

    def detach(self) -> list[bytes]:
        """Queue on one's own until the tick ends; begin with what the fanout holds so far."""
        queue = self._queue
        if queue is None:
            queue = self._begin_queue([] if self.fanout is None else self.fanout.pending.copy())
            if self.fanout is not None:
                self.fanout.mark_detached(self)
        return queue

    def detach_from_now(self) -> None:
        """Queue on one's own, without what the fanout holds: it was published before."""
        if self._queue is None and self._backlog is None:
            self._begin_queue([])
        if self.fanout is not None:
            self.fanout.mark_detached(self)

    def flush(self) -> None:
        """The tick ends: write the queue."""
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
        """Write now, past the queue; what the socket does not take waits."""
        try:
            sent = self.write(data)
        except OSError as error:
            self.stuck(data, 0, error)
        else:
            if sent != len(data):
                self.stuck(data, sent)

    # A client that does not read.

    def stuck(self, data: bytes, sent: int, error: OSError | None = None) -> None:
        """`write` took only `sent` bytes of the data, or raised the error."""
        if error is not None and not isinstance(error, BlockingIOError | InterruptedError):
            self.write = _discard_bytes
            self._sink.broken(error)
            return
        self.hold_back().put_back(data[sent:])
        self._sink.want_room()

    def hold_back(self) -> Backlog:
        """From now on what is produced waits: for `resume`, or until it is taken."""
        if self._backlog is None:
            self._backlog = Backlog()
            self.write = self._wait
            if self.fanout is not None:
                self.fanout.mark_detached(self)
        return self._backlog

    def _wait(self, packet: bytes, key: object = None) -> int:
        """Keep a frame until there is room. Takes the place of `write` while the client is slow."""
        backlog, wire = self.hold_back(), self.wire
        if self.write is _discard_bytes:
            return len(packet)
        waiting_bytes = backlog.size_bytes
        if backlog.add(packet, key):
            wire.counters.frames_replaced += 1
        if waiting_bytes and backlog.size_bytes > wire.max_outbox_bytes:
            self.write = _discard_bytes
            backlog.drop_frames()
            self._sink.overflowed()
            return len(packet)
        self._sink.want_room()
        return len(packet)

    def resume(self) -> None:
        """There is room again: write what waits, and go on as before when all is written."""
        backlog = self._backlog
        if backlog is None or self.write is _discard_bytes:
            return
        while data := backlog.take(_CHUNK_BYTES):
            try:
                sent = self._sink.send(data)
            except OSError as error:
                self.stuck(data, 0, error)
                return
            if sent != len(data):
                self.stuck(data, sent)
                return
        self._backlog = None
        self.write = self._sink.send
        if self.fanout is None:
            return
        if self.fanout.pending:  # written already: the fanout must not write it again in this tick
            self._begin_queue([])
        else:
            self.fanout.unmark_detached(self)

    def take(self) -> bytes:
        """Take what waits, for a client that fetches it."""
        return b"" if self._backlog is None else self._backlog.take()

    # The end.

    def close(self, last: bytes) -> None:
        """Write what waits and then `last`; everything after that is dropped.

        A client that was too slow gets `last` right after the frame that was begun.
        """
        if self._backlog is not None:
            waiting = self._backlog.take()
        elif self.write is _discard_bytes:
            waiting = b""
        else:
            waiting = b"".join(self.detach())
        self._sink.write(waiting + last)
        self.discard()

    def discard(self) -> None:
        """The client is gone: drop everything from now on."""
        self.write = _discard_bytes
        self.first = None
        if self._queue is not None:
            self._queue.clear()
        if self._backlog is not None:
            self._backlog.take()
