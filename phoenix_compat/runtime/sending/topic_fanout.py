"""Writes broadcasts to the clients of one topic that take the same bytes.

A broadcast is stored once in the fanout, not once per outbox. At the end of the loop tick the
fanout's frames are concatenated, and every client gets one write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from phoenix_compat.protocol.message import Broadcast, Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.runtime.sending.tick import LONG_BYTES, Tick

_MAX_PENDING: Final = 1_000
"""The limit of buffered broadcasts of one topic; when it is reached, they are written early."""


class PackingWire(Protocol):
    """What a fanout needs of its wire. See `wire.ByteWire`."""

    frames_sent: int
    bytes_sent: int

    @property
    def serializer(self) -> Serializer:
        """Turns messages into frames."""

    @property
    def tick(self) -> Tick:
        """The buffered writes of the current loop tick."""

    def pack(self, frame: Frame) -> bytes:
        """Add the transport's framing to an encoded message."""


class FanoutOutbox(Protocol):
    """What a fanout needs of a client's outbox. See `outbox.Outbox`."""

    fanout: TopicFanout | None
    fanout_count: int

    @property
    def write(self) -> Callable[[bytes], int]:
        """Write now and return how many bytes were written; may raise OSError."""

    @property
    def is_queueing(self) -> bool:
        """Whether the outbox has its own queue in this tick."""

    @property
    def is_slow(self) -> bool:
        """Whether the client has a backlog."""

    def enqueue(self, packet: bytes, key: object) -> None:
        """Queue a frame until the end of the tick."""

    def detach(self) -> list[bytes]:
        """Use an own queue until the tick ends, starting with a copy of the fanout's frames."""

    def detach_from_now(self) -> None:
        """Use an own queue until the tick ends, without the fanout's earlier frames."""

    def write_failed(self, data: bytes, sent: int, error: OSError | None = None) -> None:
        """Handle a `write` that wrote only `sent` bytes of the data, or raised the error."""


class TopicFanout:
    """The clients of one topic on one wire.

    Clients that are in no other fanout are *solo*: they share the bytes of one write. Clients that
    are in several fanouts are *multi*: each broadcast goes to their own queue.

    Attributes:
        pending: the buffered frames of this tick.
    """

    __slots__ = ("_detached", "_multi", "_solo", "_wire", "pending")

    def __init__(self, wire: PackingWire) -> None:
        self._wire = wire
        self._solo: dict[FanoutOutbox, None] = {}
        self._multi: dict[FanoutOutbox, None] | None = None
        self._detached: set[FanoutOutbox] | None = None
        self.pending: list[bytes] = []

    def __len__(self) -> int:
        return len(self._solo) + (len(self._multi) if self._multi else 0)

    def is_only(self, outbox: FanoutOutbox | None) -> bool:
        """Whether this client is the only one in the fanout."""
        if len(self) != 1:
            return False
        return outbox in self._solo or (self._multi is not None and outbox in self._multi)

    def encode(self, broadcast: Broadcast) -> bytes:
        """Encode a broadcast for all clients of the fanout. Raises EncodeError."""
        return self._wire.pack(self._wire.serializer.fastlane(broadcast))

    def publish(self, packet: bytes, exclude: FanoutOutbox | None, key: object = None) -> None:
        """Buffer a frame for all clients except one until the tick ends.

        Args:
            key: for a slow client, the frame replaces an unsent one with the same key; or None.
        """
        if exclude is not None and exclude in self._solo and not exclude.is_slow:
            exclude.detach()
        self._count(len(packet), exclude)
        if not self.pending:
            self._wire.tick.add_fanout(self)
        self.pending.append(packet)
        if self._detached:
            for outbox in self._detached:
                if outbox is not exclude:
                    outbox.enqueue(packet, key)
        if self._multi:
            for outbox in self._multi:
                if outbox is not exclude:
                    outbox.enqueue(packet, key)
        if len(self.pending) >= _MAX_PENDING or len(packet) > LONG_BYTES:
            self.flush()

    def _count(self, size_bytes: int, exclude: FanoutOutbox | None) -> None:
        """Count a frame for all clients except one."""
        clients = len(self._solo)
        if self._multi:
            clients += len(self._multi)
        if exclude is not None and (
            exclude in self._solo or (self._multi is not None and exclude in self._multi)
        ):
            clients -= 1
        self._wire.frames_sent += clients
        self._wire.bytes_sent += clients * size_bytes

    def flush(self) -> None:
        """Write the frames of this tick to the clients that got nothing else."""
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
                outbox.write_failed(data, 0, error)
            else:
                if sent != size:
                    outbox.write_failed(data, sent)

    def add(self, outbox: FanoutOutbox) -> None:
        """Add a client; it gets what is published from now on."""
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

    def discard(self, outbox: FanoutOutbox) -> None:
        """Remove a client; it still gets the frames that are pending."""
        if outbox in self._solo:
            self._leave_solo(outbox)
        elif self._multi is not None and outbox in self._multi:
            del self._multi[outbox]
        else:
            return
        outbox.fanout_count -= 1

    def make_multi(self, outbox: FanoutOutbox) -> None:
        """Change a client from solo to multi, because it joins a second fanout."""
        self._leave_solo(outbox)
        self._add_multi(outbox)

    def mark_detached(self, outbox: FanoutOutbox) -> None:
        """Mark a client with its own queue, for this tick or while it is slow."""
        if self._detached is None:
            self._detached = set()
        self._detached.add(outbox)

    def unmark_detached(self, outbox: FanoutOutbox) -> None:
        """Undo `mark_detached`, after the client's own queue was written."""
        if self._detached is not None:
            self._detached.discard(outbox)

    def _leave_solo(self, outbox: FanoutOutbox) -> None:
        if self.pending and not outbox.is_slow:
            outbox.detach()
        self.unmark_detached(outbox)
        del self._solo[outbox]
        outbox.fanout = None

    def _add_multi(self, outbox: FanoutOutbox) -> None:
        if self._multi is None:
            self._multi = {}
        self._multi[outbox] = None
