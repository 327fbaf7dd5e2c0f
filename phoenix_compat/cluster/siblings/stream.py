"""A stream of frames between two siblings, with one write per tick and a size limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias, cast

from phoenix_compat.cluster.bus import MAX_QUEUE_BYTES
from phoenix_compat.cluster.siblings.frames import Frame, unpack
from phoenix_compat.cluster.unix.frames import BrokenStreamError, FrameReader

log = logging.getLogger(__name__)

OnFrame: TypeAlias = Callable[["Stream", Frame], None]
"""Handles a frame. May raise BrokenStreamError, which ends the stream."""


class Stream(asyncio.Protocol):
    """One end of a stream.

    Args:
        on_lost: called once, after the stream has ended.
        max_queue_bytes: the limit of unsent bytes.

    Attributes:
        inbox: the subject of the sibling's inbox, once the holder knows it.
        is_broken: whether it was ended because of a frame that is not valid.
    """

    def __init__(
        self,
        on_frame: OnFrame,
        on_lost: Callable[[Stream], None],
        *,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
    ) -> None:
        self.inbox: str | None = None
        self.is_broken = False
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._max_queue_bytes = max_queue_bytes
        self._reader = FrameReader(unpack)
        self._transport: asyncio.Transport | None = None
        self._is_closed = False
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def send(self, data: bytes) -> bool:
        """Write an encoded frame at the end of this tick; return False if it is dropped."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        unsent_bytes = self._pending_bytes + transport.get_write_buffer_size()
        if unsent_bytes + len(data) > self._max_queue_bytes:
            return False
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(data)
        self._pending_bytes += len(data)
        return True

    def close(self) -> None:
        """End the stream after what the kernel takes at once; the rest is dropped."""
        self._is_closed = True
        self._flush()
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def _flush(self) -> None:
        if self._transport is not None and self._pending:
            self._transport.write(b"".join(self._pending))
        self._pending.clear()
        self._pending_bytes = 0

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, unless the stream was closed before it was there."""
        self._transport = cast(asyncio.Transport, transport)
        if self._is_closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle the frames that are complete."""
        try:
            for frame in self._reader.feed(data):
                self._on_frame(self, frame)
        except BrokenStreamError as error:
            log.error("a process of this machine sent %s", error)  # noqa: TRY400 - not a bug here
            self.is_broken = True
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        del exc
        self._transport = None
        self._pending.clear()
        self._pending_bytes = 0
        self._on_lost(self)
