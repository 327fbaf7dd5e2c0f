"""A client that takes its time: it sends a beginning, then a little now and then, or reads late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

_RECEIVE_BYTES = 65_536


@dataclass(frozen=True)
class Ended:
    """How a connection ended.

    Attributes:
        lasted_s: from the connect to the end that the server made.
        received: what the server said; at most the first 64 KiB.
    """

    lasted_s: float
    received: bytes

    @property
    def status(self) -> int:
        """The status of the last response; 0 without one."""
        head = self.received.rpartition(b"HTTP/1.")[2]
        return int(head.split(b" ")[1]) if head != self.received else 0


async def dripped(
    address: tuple[str, int],
    begin: bytes,
    drops: Iterable[bytes] = (),
    every_s: float = 0.1,
    *,
    limit_s: float,
) -> Ended:
    """Send the beginning, then the drops one by one, until the server closes the connection.

    Raises:
        TimeoutError: it has not closed it within `limit_s`.
    """
    begun_s = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)
    dripping = None
    try:
        writer.write(begin)
        dripping = asyncio.create_task(_drip(writer, drops, every_s))
        received = b""
        async with asyncio.timeout(limit_s):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_RECEIVE_BYTES):
                    received = (received + data)[:_RECEIVE_BYTES]
        return Ended(time.monotonic() - begun_s, received)
    finally:
        if dripping is not None:
            dripping.cancel()
        writer.transport.abort()


async def _drip(writer: asyncio.StreamWriter, drops: Iterable[bytes], every_s: float) -> None:
    with contextlib.suppress(ConnectionError):
        for drop in drops:
            await asyncio.sleep(every_s)
            writer.write(drop)
            await writer.drain()


def without_end(drop: bytes) -> Iterable[bytes]:
    """The same drop again and again."""
    return repeat(drop)
