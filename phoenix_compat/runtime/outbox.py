"""Finished frames on their way out: the only thing that writes to a client.

    Outbox   one client. Writes at once while nothing waits; else queues, in order.
    Lane     the clients of one topic on one wire. A broadcast is one frame in the lane, not one in
             each outbox; at the end of the loop tick the lane's frames are joined and every client
             gets one write.
    Tick     what has to be written when this loop tick ends.

Rules:
1. Order in the outbox is the order in which things were produced, whatever their way.
2. A client that is in one lane only, and hears nothing but broadcasts in a tick, shares the lane's
   bytes. One that also gets something of its own in that tick is *detached*: it takes a copy of the
   lane's frames so far into a queue of its own, and further broadcasts are appended to that queue.
3. A client in several lanes always queues on its own.
4. A write that would leave a client that does not read with more than `max_outbox_bytes` is not
   made; the client is closed as too slow (centrifuge's policy), and counted.

A send to a socket costs more than everything else here together, hence one write for all frames of
a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from phoenix_compat.protocol.frame import BINARY, TEXT, write_frame
from phoenix_compat.protocol.message import Broadcast, Frame
from phoenix_compat.protocol.serializer import Serializer


class ByteSink(Protocol):
    """What an outbox writes to: an asyncio transport."""

    def write(self, data: bytes) -> None:
        """Send, or buffer, without waiting."""

    def get_write_buffer_size(self) -> int:
        """Bytes buffered."""


class Tick:
    """The lanes and outboxes that hold something back until the loop tick ends."""

    __slots__ = ("_is_scheduled", "_lanes", "_outboxes")

    def __init__(self) -> None:
        self._lanes: list[Lane] = []
        self._outboxes: list[Outbox] = []
        self._is_scheduled = False

    def add_lane(self, lane: Lane) -> None:
        """Flush this lane at the end of the tick."""
        self._lanes.append(lane)
        if not self._is_scheduled:
            self._schedule()

    def add_outbox(self, outbox: Outbox) -> None:
        """Flush this outbox at the end of the tick."""
        self._outboxes.append(outbox)
        if not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write everything out."""
        self._is_scheduled = False
        lanes, self._lanes = self._lanes, []
        outboxes, self._outboxes = self._outboxes, []
        for lane in lanes:
            lane.flush()
        for outbox in outboxes:
            outbox.flush()


class ByteWire:
    """A serializer and a transport's framing. Packed messages are joined by concatenation."""

    __slots__ = ("_serializer", "tick")

    def __init__(self, serializer: Serializer, tick: Tick) -> None:
        self._serializer = serializer
        self.tick = tick

    @property
    def serializer(self) -> Serializer:
        """What turns messages into frames."""
        return self._serializer

    def pack(self, frame: Frame) -> bytes:
        """The bytes that carry an encoded message."""
        raise NotImplementedError

    def open_lane(self) -> Lane:
        """See pubsub.Wire."""
        return Lane(self)


class WebSocketWire(ByteWire):
    """Websocket frames."""

    __slots__ = ()

    def pack(self, frame: Frame) -> bytes:
        """A websocket frame around an encoded message."""
        return write_frame(BINARY if frame.is_binary else TEXT, frame.data)


class Lane:
    """The clients of one topic on one wire."""

    __slots__ = ("_detached", "_multi", "_solo", "_wire", "pending")

    def __init__(self, wire: ByteWire) -> None:
        self._wire = wire
        self._solo: dict[Outbox, None] = {}
        self._multi: dict[Outbox, None] | None = None
        self._detached: set[Outbox] | None = None
        self.pending: list[bytes] = []

    def __len__(self) -> int:
        return len(self._solo) + (len(self._multi) if self._multi else 0)

    def encode(self, broadcast: Broadcast) -> bytes:
        """The same bytes for all clients of the lane. Raises EncodeError."""
        return self._wire.pack(self._wire.serializer.fastlane(broadcast))

    def publish(self, packet: bytes, but: Outbox | None) -> None:
        """Hold a frame for all clients but one until the tick ends."""
        if but is not None and but in self._solo:
            but.detach()
        if not self.pending:
            self._wire.tick.add_lane(self)
        self.pending.append(packet)
        if self._detached:
            for outbox in self._detached:
                if outbox is not but:
                    outbox.enqueue(packet)
        if self._multi:
            for outbox in self._multi:
                if outbox is not but:
                    outbox.enqueue(packet)

    def flush(self) -> None:
        """Write the frames of this tick to those that heard nothing else."""
        pending, self.pending = self.pending, []
        if not pending:
            return
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        detached = self._detached
        if detached:
            for outbox in tuple(self._solo):
                if outbox not in detached:
                    outbox.write(data)
        else:
            for outbox in tuple(self._solo):
                outbox.write(data)

    def add(self, outbox: Outbox) -> None:
        """Begin to write to a client; what is pending is not for it."""
        first = outbox.lane
        if outbox.lane_count:
            if first is not None:
                first.make_multi(outbox)
            self._add_multi(outbox)
        else:
            self._solo[outbox] = None
            outbox.lane = self
            if self.pending or outbox.is_queueing:
                outbox.detach_from_now()
        outbox.lane_count += 1

    def discard(self, outbox: Outbox) -> None:
        """Write nothing more to a client; what is pending still reaches it."""
        if outbox in self._solo:
            self._leave_solo(outbox)
        elif self._multi is not None and outbox in self._multi:
            del self._multi[outbox]
        else:
            return
        outbox.lane_count -= 1

    def make_multi(self, outbox: Outbox) -> None:
        """The client joins a second lane: from now on it queues on its own."""
        self._leave_solo(outbox)
        self._add_multi(outbox)

    def mark_detached(self, outbox: Outbox) -> None:
        """The client has a queue of its own for this tick."""
        if self._detached is None:
            self._detached = set()
        self._detached.add(outbox)

    def unmark_detached(self, outbox: Outbox) -> None:
        """The client's own queue is written."""
        if self._detached is not None:
            self._detached.discard(outbox)

    def _leave_solo(self, outbox: Outbox) -> None:
        if self.pending:
            outbox.detach()
        self.unmark_detached(outbox)
        del self._solo[outbox]
        outbox.lane = None

    def _add_multi(self, outbox: Outbox) -> None:
        if self._multi is None:
            self._multi = {}
        self._multi[outbox] = None


def _discard_bytes(data: bytes) -> None:
    """What writing to a closed client does."""


class Outbox:
    """One client's way out.

    Attributes:
        wire: the kind of bytes the client takes.
        write: write now, past the queue; for the lanes and this class.
        lane, lane_count: for the lanes: the only lane the client is in, and how many there are.
    """

    __slots__ = (
        "_max_bytes",
        "_on_overflow",
        "_queue",
        "_sink",
        "lane",
        "lane_count",
        "wire",
        "write",
    )

    def __init__(
        self,
        wire: ByteWire,
        sink: ByteSink,
        max_bytes: int,
        on_overflow: Callable[[], None],
    ) -> None:
        self.wire = wire
        self.write: Callable[[bytes], None] = sink.write
        self.lane: Lane | None = None
        self.lane_count = 0
        self._sink = sink
        self._max_bytes = max_bytes
        self._on_overflow = on_overflow
        self._queue: list[bytes] | None = None

    @property
    def is_queueing(self) -> bool:
        """Whether something waits for the end of the tick."""
        return self._queue is not None

    def send(self, packet: bytes) -> None:
        """Write a frame, after everything that was produced before it."""
        queue = self._queue
        if queue is None and self.lane is not None and self.lane.pending:
            queue = self.detach()
        if queue is None:
            self.write(packet)
        else:
            queue.append(packet)

    def send_frame(self, frame: Frame) -> None:
        """Write an encoded message."""
        self.send(self.wire.pack(frame))

    def enqueue(self, packet: bytes) -> None:
        """Queue a frame until the end of the tick; for the lanes."""
        if self._queue is None:
            self._queue = []
            self.wire.tick.add_outbox(self)
        self._queue.append(packet)

    def detach(self) -> list[bytes]:
        """Queue on one's own until the tick ends; begin with what the lane holds so far.

        Also for a transport that knows of more to come in this tick.
        """
        if self._queue is None:
            self._queue = [] if self.lane is None else self.lane.pending.copy()
            self.wire.tick.add_outbox(self)
            if self.lane is not None:
                self.lane.mark_detached(self)
        return self._queue

    def detach_from_now(self) -> None:
        """Queue on one's own, without what the lane holds: it was published before."""
        if self._queue is None:
            self._queue = []
            self.wire.tick.add_outbox(self)
        if self.lane is not None:
            self.lane.mark_detached(self)

    def flush(self) -> None:
        """The tick ends: write the queue."""
        queue, self._queue = self._queue, None
        if self.lane is not None:
            self.lane.unmark_detached(self)
        if queue:
            self.write(queue[0] if len(queue) == 1 else b"".join(queue))

    def close(self, last: bytes) -> None:
        """Write what waits and then `last`; everything after that is dropped.

        A client that was too slow gets `last` alone.
        """
        if self.write is not _discard_bytes:
            self._sink.write(b"".join((*self.detach(), last)))
            self.detach().clear()
            self.write = _discard_bytes
        else:
            self._sink.write(last)

    def discard(self) -> None:
        """The client is gone: drop everything from now on."""
        self.write = _discard_bytes

    def pause(self) -> None:
        """The client does not read as fast as it is written to."""
        if self.write is not _discard_bytes:
            self.write = self._write_slowly

    def resume(self) -> None:
        """The client caught up."""
        if self.write is not _discard_bytes:
            self.write = self._sink.write

    def _write_slowly(self, data: bytes) -> None:
        waiting_bytes = self._sink.get_write_buffer_size()
        # One message of any size may go to a client that has nothing waiting: it is not slow.
        if waiting_bytes and waiting_bytes + len(data) > self._max_bytes:
            self.write = _discard_bytes
            self._on_overflow()
        else:
            self._sink.write(data)
