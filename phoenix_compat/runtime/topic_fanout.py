"""What clients share on the way out: their wire, the lane of a topic, the end of the loop tick.

    ByteWire  a serializer with a transport's framing.
    Lane      the clients of one topic on one wire. A broadcast is one frame in the lane, not one in
              each outbox; at the end of the loop tick the lane's frames are joined and every client
              gets one write.
    Tick      what has to be written when this loop tick ends.

A send to a socket costs more than everything else here together, hence one write for all frames of
a tick, and nothing but that write for each client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from phoenix_compat.protocol.frame import BINARY, TEXT, frame_header
from phoenix_compat.protocol.message import BinaryFrame, Broadcast, Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.runtime.limits import Counters, Limits

if TYPE_CHECKING:
    from phoenix_compat.runtime.outbox import Outbox


LONG_BYTES: Final = 64 * 1024
"""A frame longer than this does not wait for the end of the tick behind others."""

_MAX_PENDING: Final = 1_000
"""So many broadcasts of one topic wait for the end of the tick; then they are written before it."""


_HEADERS: Final = 1_024
_TEXT_HEADERS: Final = tuple(frame_header(TEXT, size) for size in range(_HEADERS))
"""What stands before text of each usual length."""


class Tick:
    """The lanes and outboxes that hold something back until the loop tick ends.

    Attributes:
        is_held: whether its end will be told by `release`.
        firsts: outboxes whose `first` is written at the end of a held tick, before all else.
    """

    __slots__ = ("_is_scheduled", "_lanes", "_outboxes", "firsts", "is_held")

    def __init__(self) -> None:
        self.firsts: list[Outbox] = []
        self._lanes: list[Lane] = []
        self._outboxes: list[Outbox] = []
        self._is_scheduled = False
        self.is_held = False

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
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.flush)

    def hold(self) -> None:
        """Whoever calls this is about to hand on a batch of messages, and calls `release`."""
        self.is_held = True

    def release(self) -> None:
        """The batch is handed on: for what it made, the tick ends here."""
        self.is_held = False
        if self.firsts or self._is_scheduled:
            self.flush()

    def flush(self) -> None:
        """Write everything out."""
        self._is_scheduled = False
        firsts, lanes, outboxes = self.firsts, self._lanes, self._outboxes
        if firsts:
            self.firsts = []
            for outbox in firsts:
                first = outbox.first
                if first is None:
                    continue  # it joined a queue, or the client is gone
                outbox.first = None
                try:
                    sent = outbox.write(first)
                except OSError as error:
                    outbox.stuck(first, 0, error)
                else:
                    if sent != len(first):
                        outbox.stuck(first, sent)
        if lanes:
            self._lanes = []
            for lane in lanes:
                lane.flush()
        if outboxes:
            self._outboxes = []
            for outbox in outboxes:
                outbox.flush()


class ByteWire:
    """A serializer and a transport's framing. Packed messages are joined by concatenation.

    Attributes:
        serializer: what turns messages into frames.
        tick: when what is produced now is written.
        max_outbox_bytes: see Limits.
        counters: how often a bound was met.
    """

    __slots__ = ("counters", "max_outbox_bytes", "serializer", "tick")

    def __init__(
        self, serializer: Serializer, tick: Tick, limits: Limits, counters: Counters
    ) -> None:
        self.serializer = serializer
        self.tick = tick
        self.max_outbox_bytes = limits.max_outbox_bytes
        self.counters = counters

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
        size = len(frame)
        if type(frame) is bytes and size < _HEADERS:
            return _TEXT_HEADERS[size] + frame
        return frame_header(BINARY if isinstance(frame, BinaryFrame) else TEXT, size) + frame


class Lane:
    """The clients of one topic on one wire.

    Attributes:
        pending: the frames of this tick.
    """

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

    def publish(self, packet: bytes, but: Outbox | None, key: object = None) -> None:
        """Hold a frame for all clients but one until the tick ends.

        Args:
            key: what a slow client need hear only the newest of, or None.
        """
        if but is not None and but in self._solo and not but.is_slow:
            but.detach()
        if not self.pending:
            self._wire.tick.add_lane(self)
        self.pending.append(packet)
        if self._detached:
            for outbox in self._detached:
                if outbox is not but:
                    outbox.enqueue(packet, key)
        if self._multi:
            for outbox in self._multi:
                if outbox is not but:
                    outbox.enqueue(packet, key)
        if len(self.pending) >= _MAX_PENDING or len(packet) > LONG_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the frames of this tick to those that heard nothing else."""
        pending, self.pending = self.pending, []
        if not pending:
            return
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        size = len(data)
        detached = self._detached
        shared = [o for o in self._solo if o not in detached] if detached else self._solo
        for outbox in shared:
            try:
                sent = outbox.write(data)
            except OSError as error:
                outbox.stuck(data, 0, error)
            else:
                if sent != size:
                    outbox.stuck(data, sent)

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
            if self.pending or outbox.is_queueing or outbox.is_slow:
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
        """The client has a queue of its own, for this tick or while it is slow."""
        if self._detached is None:
            self._detached = set()
        self._detached.add(outbox)

    def unmark_detached(self, outbox: Outbox) -> None:
        """The client's own queue is written."""
        if self._detached is not None:
            self._detached.discard(outbox)

    def _leave_solo(self, outbox: Outbox) -> None:
        if self.pending and not outbox.is_slow:
            outbox.detach()
        self.unmark_detached(outbox)
        del self._solo[outbox]
        outbox.lane = None

    def _add_multi(self, outbox: Outbox) -> None:
        if self._multi is None:
            self._multi = {}
        self._multi[outbox] = None
