"""Closing the clients of an endpoint: what it asks of its transports, and draining in batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from phoenix_compat.endpoint.options import Drainer
from phoenix_compat.runtime.socket_server import SocketServer


class Transport(Protocol):
    """What an endpoint needs of a mounted transport."""

    def __len__(self) -> int:
        """How many clients are connected."""

    @property
    def clients(self) -> Iterable[SocketServer]:
        """The socket servers of the connected clients; not to be kept."""

    async def drain(self) -> None:
        """Close the clients with channels, joined or about to be, in batches."""

    def close_all(self) -> None:
        """Start to close every client that is still connected."""

    def abort_all(self) -> None:
        """Drop the connections of all remaining clients."""

    def abandon(self) -> None:
        """End the channels of all clients; the event loop of their connections is closed."""


async def drain_in_batches(clients: Sequence[Drainable], drainer: Drainer | None) -> None:
    """Close these clients in batches. Those left after `drainer.shutdown_s` are not touched."""
    if drainer is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drainer.shutdown_s):
            for start in range(0, len(clients), drainer.batch_size):
                if start:
                    await asyncio.sleep(drainer.batch_interval_s)
                for client in clients[start : start + drainer.batch_size]:
                    client.drain()


class Drainable(Protocol):
    """A client that can be drained."""

    def drain(self) -> None:
        """Close the connection because the server restarts."""
