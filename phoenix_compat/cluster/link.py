"""The sending end between two nodes: one stream, one write per loop tick, a bound in bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from phoenix_compat.cluster.frames import MAX_FRAME_BYTES

_FIRST_RETRY_S: Final = 0.02
_LAST_RETRY_S: Final = 0.5


@dataclass(slots=True)
class BusCounts:
    """What a bus has done since it was opened.

    Attributes:
        casts: casts sent, each counted once however many nodes there are.
        received: casts that came.
        dropped: frames that one node was not sent, because its queue was full or it was not there.
        gaps: times at which something of another node was missing.
        connects: streams to other nodes that were opened.
        broken: streams from others that held no frames.
        late: starts that did not wait any longer for what the other nodes had to tell.
    """

    casts: int = 0
    received: int = 0
    dropped: int = 0
    gaps: int = 0
    connects: int = 0
    broken: int = 0
    late: int = 0


class Link(asyncio.Protocol):
    """The way to one other node, dialled again whenever it is lost.

    What does not fit into the queue is dropped, and once there is room the node is told how far we
    are, so that it knows that something is missing even if nothing follows.

    Args:
        path: the socket on which the other node listens.
        greet: makes the frame that says who we are and how far.
        max_queue_bytes: what may wait for a node that does not read.

    Attributes:
        is_up: set while there is a stream.
        is_heard: set while the other node has a stream to us; kept by the bus.
        has_dialled: set once the first attempt has succeeded or failed.
        lost: set while there is none after there was one.
    """

    def __init__(
        self, path: Path, greet: Callable[[], bytes], counts: BusCounts, max_queue_bytes: int
    ) -> None:
        self.is_up = asyncio.Event()
        self.is_heard = asyncio.Event()
        self.has_dialled = asyncio.Event()
        self.lost = asyncio.Event()
        self._path = str(path)
        self._greet = greet
        self._counts = counts
        self._max_queue_bytes = max_queue_bytes
        self._transport: asyncio.Transport | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._has_dropped = False
        self._knock = asyncio.Event()

    def send(self, data: bytes) -> bool:
        """Write a frame at the end of this tick; False when it was dropped."""
        transport = self._transport
        if transport is None:
            self._counts.dropped += 1
            return False
        waiting = self._pending_bytes + transport.get_write_buffer_size()
        if waiting + len(data) > self._max_queue_bytes or len(data) > MAX_FRAME_BYTES:
            self._counts.dropped += 1
            self._has_dropped = True
            self._flush_soon()
            return False
        self._flush_soon()
        self._pending.append(data)
        self._pending_bytes += len(data)
        return True

    async def keep_up(self) -> None:
        """Dial, and dial again when the stream is lost, until cancelled."""
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_RETRY_S
        try:
            while True:
                self._knock.clear()
                self.lost.clear()
                try:
                    await loop.create_unix_connection(lambda: self, self._path)
                except OSError:
                    self.has_dialled.set()
                    # Not there (yet, or any more). A node that comes up knocks, see `dial_now`.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._knock.wait(), wait_s)
                    wait_s = min(wait_s * 2, _LAST_RETRY_S)
                else:
                    wait_s = _FIRST_RETRY_S
                    await self.lost.wait()
        finally:
            if self._transport is not None:
                self._flush()
                self._transport.close()

    def dial_now(self) -> None:
        """The other node was heard: do not wait for the next attempt."""
        self._knock.set()

    async def both_ways(self) -> None:
        """Back once each node has a stream to the other, or the other is not there."""
        await self.has_dialled.wait()
        if not self.is_up.is_set():
            return
        ends = {asyncio.create_task(event.wait()) for event in (self.is_heard, self.lost)}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are before anything else."""
        self._transport = cast(asyncio.Transport, transport)
        # The callbacks below shall tell of a buffer that is empty, and of no other.
        self._transport.set_write_buffer_limits(high=0)
        self._counts.connects += 1
        self._has_dropped = False
        self._transport.write(self._greet())
        self.is_up.set()
        self.has_dialled.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """What waits is lost; the greeting of the next stream tells how much."""
        del exc
        self._transport = None
        self._counts.dropped += len(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        self.is_up.clear()
        self.lost.set()

    def resume_writing(self) -> None:
        """All is written: say how far we are, if something was dropped."""
        if self._has_dropped:
            self._has_dropped = False
            self.send(self._greet())  # behind the casts of this tick, which it counts

    def _flush_soon(self) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._pending:
            transport.write(b"".join(self._pending))
            self._pending.clear()
            self._pending_bytes = 0
        if not transport.get_write_buffer_size():
            self.resume_writing()
