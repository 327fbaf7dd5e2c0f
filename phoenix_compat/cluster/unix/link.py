"""Sends frames to one other node over one stream, with one write per tick and a size limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from phoenix_compat.cluster.bus import BusCounts
from phoenix_compat.cluster.unix.frames import MAX_FRAME_BYTES

_FIRST_RETRY_S: Final = 0.02
_LAST_RETRY_S: Final = 0.5


class Link(asyncio.Protocol):
    """The stream to one other node, reconnected whenever it is lost.

    A frame that does not fit into the queue is dropped. When the queue is empty, a Hello with the
    current cast number is sent, so that the node detects the gap even without a later cast.

    Args:
        path: the socket on which the other node listens.
        make_hello: makes this node's Hello frame.
        max_queue_bytes: the limit of unsent bytes.

    Attributes:
        is_up: set while the stream is connected.
        is_heard: set while the other node has a stream to us; kept by the bus.
        has_tried: set once the first attempt to connect has succeeded or failed.
        lost: set after the stream has ended, until the next attempt.
    """

    def __init__(
        self, path: Path, make_hello: Callable[[], bytes], counts: BusCounts, max_queue_bytes: int
    ) -> None:
        self.is_up = asyncio.Event()
        self.is_heard = asyncio.Event()
        self.has_tried = asyncio.Event()
        self.lost = asyncio.Event()
        self._path = str(path)
        self._make_hello = make_hello
        self._counts = counts
        self._max_queue_bytes = max_queue_bytes
        self._transport: asyncio.Transport | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._has_dropped = False
        self._connect_now = asyncio.Event()

    def send(self, data: bytes) -> bool:
        """Write a frame at the end of this tick; return False if it was dropped."""
        transport = self._transport
        if transport is None:
            self._counts.dropped += 1
            return False
        unsent_bytes = self._pending_bytes + transport.get_write_buffer_size()
        if unsent_bytes + len(data) > self._max_queue_bytes or len(data) > MAX_FRAME_BYTES:
            self._counts.dropped += 1
            self._has_dropped = True
            self._flush_soon()
            return False
        self._flush_soon()
        self._pending.append(data)
        self._pending_bytes += len(data)
        return True

    async def run(self) -> None:
        """Connect, and reconnect whenever the stream is lost, until cancelled."""
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_RETRY_S
        try:
            while True:
                self._connect_now.clear()
                self.lost.clear()
                try:
                    await loop.create_unix_connection(lambda: self, self._path)
                except OSError:
                    self.has_tried.set()
                    # The node is not up. When it starts it connects to us; see `connect_now`.
                    with contextlib.suppress(TimeoutError):
                        # wait_for of Python 3.11 ignores a cancel that comes with the event.
                        async with asyncio.timeout(wait_s):
                            await self._connect_now.wait()
                    wait_s = min(wait_s * 2, _LAST_RETRY_S)
                else:
                    wait_s = _FIRST_RETRY_S
                    await self.lost.wait()
        finally:
            if self._transport is not None:
                self._flush()
                self._transport.close()

    def connect_now(self) -> None:
        """Connect without waiting for the next attempt, because the other node is up."""
        self._connect_now.set()

    async def wait_until_up(self, *, unless: asyncio.Future[Any]) -> None:
        """Return once the stream is connected, or the future is done."""
        if self.is_up.is_set():
            return
        waiting = asyncio.create_task(self.is_up.wait())
        try:
            await asyncio.wait({waiting, unless}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def wait_for_both_streams(self) -> None:
        """Return once each node has a stream to the other, or the other node is not up."""
        await self.has_tried.wait()
        if not self.is_up.is_set():
            return
        ends = {asyncio.create_task(event.wait()) for event in (self.is_heard, self.lost)}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send a Hello before anything else."""
        self._transport = cast(asyncio.Transport, transport)
        # `resume_writing` is called only when the buffer is empty.
        self._transport.set_write_buffer_limits(high=0)
        self._counts.connects += 1
        self._has_dropped = False
        self._transport.write(self._make_hello())
        self.is_up.set()
        self.has_tried.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the pending frames; the Hello of the next stream shows how many casts are lost."""
        del exc
        self._transport = None
        self._counts.dropped += len(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        self.is_up.clear()
        self.lost.set()

    def resume_writing(self) -> None:
        """Send a Hello after everything is written, if frames were dropped."""
        if self._has_dropped:
            self._has_dropped = False
            self.send(self._make_hello())  # after the casts of this tick, which it counts

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
