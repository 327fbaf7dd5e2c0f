"""The receiving end between two nodes: a stream that another node opened, and where it knocks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import Protocol, cast

from phoenix_compat.cluster.frames import BrokenStreamError, Frame, FrameReader
from phoenix_compat.cluster.link import BusCounts

log = logging.getLogger(__name__)


class Hearer(Protocol):
    """Who takes what comes: the bus."""

    counts: BusCounts

    def opened(self, receiver: Receiver) -> None:
        """A stream was opened by some node."""

    def hear(self, receiver: Receiver, frame: Frame) -> None:
        """Take a frame. Raises BrokenStreamError."""

    def lost(self, receiver: Receiver) -> None:
        """A stream has ended."""


class Receiver(asyncio.Protocol):
    """A stream that another node opened to us."""

    def __init__(self, bus: Hearer) -> None:
        self.node: int | None = None
        self._bus = bus
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A node has dialled."""
        self._transport = cast(asyncio.Transport, transport)
        self._bus.opened(self)

    def data_received(self, data: bytes) -> None:
        """Hear the frames that are complete."""
        try:
            for frame in self._reader.feed(data):
                self._bus.hear(self, frame)
        except BrokenStreamError as error:
            log.error("the bus was sent %s", error)  # noqa: TRY400 - no bug of ours
            self._bus.counts.broken += 1
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """The node has died, or stopped."""
        del exc
        self._bus.lost(self)

    def hang_up(self) -> None:
        """Close the stream."""
        if self._transport is not None:
            self._transport.abort()


def bound_unix_socket(path: Path) -> socket.socket:
    """A socket at this path, in place of what a dead process left there; blocking.

    Raises:
        OSError: the path is too long, or the folder is not ours.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener
