"""A network that fails when a test wants it: a TCP proxy in front of a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024
_ACCEPT_TURNS: Final = 5
"""So many turns of the event loop after it was accepted, a connection has its relay."""


class Network:
    """The way to one server. Clients connect to `port`.

    Attributes:
        port: where clients connect, on 127.0.0.1.
        connections: how many connections were accepted.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.connections = 0
        self._address = (host, port)
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._refuses = False
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Let nothing through any more, in both directions; connections stay open.

        New connections are accepted, and nothing of them arrives, as behind a firewall that drops.
        """
        self._is_open.clear()

    def heal(self) -> None:
        """Let everything through again, also what has waited meanwhile."""
        self._refuses = False
        self._is_open.set()

    def break_connections(self, *, refuse: bool = False) -> None:
        """End all connections.

        Args:
            refuse: end each new one too, until `heal`.
        """
        self._refuses = refuse
        for relay in tuple(self._relays):
            relay.cancel()

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end all connections."""
        assert self._server is not None
        self._server.close()
        for _ in range(_ACCEPT_TURNS):
            self.break_connections()
            await asyncio.gather(*self._relays, return_exceptions=True)
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refuses:
                return
            await self._is_open.wait()
            server_reader, server_writer = await asyncio.open_connection(*self._address)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._copy(reader, server_writer))
                    group.create_task(self._copy(server_reader, writer))
            finally:
                await _end(server_writer)
        except* OSError:
            pass  # one side ended; the other one is ended below
        finally:
            await _end(writer)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._is_open.wait()
            writer.write(data)
            await writer.drain()
        # One side has ended; a half-closed connection is not needed by any of the servers here.
        raise ConnectionResetError


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def open_network(host: str, port: int) -> AsyncIterator[Network]:
    """The way to a server, for the time of the block."""
    network = Network(host, port)
    await network.open()
    try:
        yield network
    finally:
        await network.close()
