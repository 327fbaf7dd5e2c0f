"""The clients of one topic that take the same bytes.

A broadcast is one frame in the fanout, not one in each outbox: at the end of the loop tick the
fanout's
frames are joined, and every client gets one write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from phoenix_compat.protocol.message import Broadcast, Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.runtime.tick import LONG_BYTES, Tick

_MAX_PENDING: Final = 1_000
"""So many broadcasts of one topic wait for the end of the tick; then they are written before it."""


class PackingWire(Protocol):
    """What a fanout needs of its wire. See `wire.ByteWire`."""

    @property
    def serializer(self) -> Serializer:
        """What turns messages into frames."""

    @property
    def tick(self) -> Tick:
        """When what is produced now is written."""

    def pack(self, frame: Frame) -> bytes:
        """The bytes that carry an encoded message."""


class LaneMember(Protocol):
    """What a fanout needs of a client's outbox. See `outbox.Outbox`."""

    fanout: TopicFanout | None
    fanout_count: int

    @property
    def write(self) -> Callable[[bytes], int]:
        """Write now and return how many bytes were taken; may raise OSError."""

    @property
    def is_queueing(self) -> bool:
        """Whether something waits for the end of the tick."""

    @property
    def is_slow(self) -> bool:
        """Whether the client has yet to read what waits."""

    def enqueue(self, packet: bytes, key: object) -> None:
        """Queue a frame until the end of the tick."""

    def detach(self) -> list[bytes]:
        """Queue on one's own until the tick ends; begin with what the fanout holds so far."""

    def detach_from_now(self) -> None:
        """Queue on one's own, without what the fanout holds: it was published before."""

    def stuck(self, data: bytes, sent: int, error: OSError | None = None) -> None:
        """`write` took only `sent` bytes of the data, or raised the error."""


class TopicFanout:
    """The clients of one topic on one wire.

    Attributes:
        pending: the frames of this tick.
    """

    __slots__ = ("_detached", "_multi", "_solo", "_wire", "pending")

    def __init__(self, wire: PackingWire) -> None:
        self._wire = wire
        self._solo: dict[LaneMember, None] = {}
        self._multi: dict[LaneMember, None] | None = None
        self._detached: set[LaneMember] | None = None
        self.pending: list[bytes] = []

    def __len__(self) -> int:
        return len(self._solo) + (len(self._multi) if self._multi else 0)

    def encode(self, broadcast: Broadcast) -> bytes:
        """The same bytes for all clients of the fanout. Raises EncodeError."""
        return self._wire.pack(self._wire.serializer.fastlane(broadcast))

    def publish(self, packet: bytes, but: LaneMember | None, key: object = None) -> None:
        """Hold a frame for all clients but one until the tick ends.

        Args:
            key: what a slow client need hear only the newest of, or None.
        """
        if but is not None and but in self._solo and not but.is_slow:
            but.detach()
        if not self.pending:
            self._wire.tick.add_fanout(self)
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

    def add(self, outbox: LaneMember) -> None:
        """Begin to write to a client; what is pending is not for it."""
        first = outbox.fanout
        if outbox.fanout_count:
            if first is not None:
                first.make_multi(outbox)
            self._add_multi(outbox)
        else:
            self._solo[outbox] = None
            outbox.fanout = self
            if self.pending or outbox.is_queueing or outbox.is_slow:
                outbox.detach_from_now()
        outbox.fanout_count += 1

    def discard(self, outbox: LaneMember) -> None:
        """Write nothing more to a client; what is pending still reaches it."""
        if outbox in self._solo:
            self._leave_solo(outbox)
        elif self._multi is not None and outbox in self._multi:
            del self._multi[outbox]
        else:
            return
        outbox.fanout_count -= 1

    def make_multi(self, outbox: LaneMember) -> None:
        """The client joins a second fanout: from now on it queues on its own."""
        self._leave_solo(outbox)
        self._add_multi(outbox)

    def mark_detached(self, outbox: LaneMember) -> None:
        """The client has a queue of its own, for this tick or while it is slow."""
        if self._detached is None:
            self._detached = set()
        self._detached.add(outbox)

    def unmark_detached(self, outbox: LaneMember) -> None:
        """The client's own queue is written."""
        if self._detached is not None:
            self._detached.discard(outbox)

    def _leave_solo(self, outbox: LaneMember) -> None:
        if self.pending and not outbox.is_slow:
            outbox.detach()
        self.unmark_detached(outbox)
        del self._solo[outbox]
        outbox.fanout = None

    def _add_multi(self, outbox: LaneMember) -> None:
        if self._multi is None:
            self._multi = {}
        self._multi[outbox] = None
