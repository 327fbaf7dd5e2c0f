"""Receives the frames of another node, over a stream that the node opened."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import Protocol, cast

from phoenix_compat.cluster.bus import BusCounts
from phoenix_compat.cluster.unix.frames import BrokenStreamError, Frame, FrameReader, unpack
from phoenix_compat.private_files import FILE_MODE

log = logging.getLogger(__name__)


class FrameHandler(Protocol):
    """Handles the streams and their frames: the bus."""

    counts: BusCounts

    def stream_opened(self, receiver: Receiver) -> None:
        """Handle a new stream, whose node is not known yet."""

    def handle_frame(self, receiver: Receiver, frame: Frame) -> None:
        """Handle a frame. Raises BrokenStreamError."""

    def stream_lost(self, receiver: Receiver) -> None:
        """Handle the end of a stream, because its node has stopped or died."""


class Receiver(asyncio.Protocol):
    """A stream that another node opened.

    Attributes:
        node: the node; None until its Hello.
    """

    def __init__(self, bus: FrameHandler) -> None:
        self.node: int | None = None
        self._bus = bus
        self._reader = FrameReader(unpack)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the stream with the bus."""
        self._transport = cast(asyncio.Transport, transport)
        self._bus.stream_opened(self)

    def data_received(self, data: bytes) -> None:
        """Handle the frames that are complete."""
        try:
            for frame in self._reader.feed(data):
                self._bus.handle_frame(self, frame)
        except BrokenStreamError as error:
            log.error("the bus received %s", error)  # noqa: TRY400 - not a bug of this server
            self._bus.counts.broken += 1
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the stream from the bus."""
        del exc
        self._bus.stream_lost(self)

    def abort(self) -> None:
        """Close the stream."""
        if self._transport is not None:
            self._transport.abort()


def bound_unix_socket(path: Path) -> socket.socket:
    """Bind a socket to this path, replacing what a dead process left there; blocking.

    Raises:
        OSError: the path is too long, or the folder is not writable.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(FILE_MODE)  # the folder is private as well
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener
