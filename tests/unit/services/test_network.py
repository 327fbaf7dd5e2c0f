"""The network that fails on command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.patience import patient
from tests.services.network import Network, open_network


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """The way to a server that answers each line with itself."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with open_network("127.0.0.1", server.sockets[0].getsockname()[1]) as opened:
        yield opened
    server.close()


async def test_a_cut_holds_everything_back(network: Network) -> None:
    """Nothing arrives while it is cut, and all of it after it was healed, in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    writer.write(b"one\n")
    assert await reader.readline() == b"one\n"

    network.cut()
    writer.write(b"two\n")
    late_reader, late_writer = await asyncio.open_connection("127.0.0.1", network.port)
    late_writer.write(b"three\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.readline()

    network.heal()
    async with asyncio.timeout(patient(5.0)):
        assert await reader.readline() == b"two\n"
        assert await late_reader.readline() == b"three\n"
    writer.close()
    late_writer.close()


async def test_connections_are_broken(network: Network) -> None:
    """The connections end, and new ones too until it is healed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    writer.write(b"one\n")
    await reader.readline()

    network.break_connections(refuse=True)
    assert await _is_ended(reader)
    refused, refused_writer = await asyncio.open_connection("127.0.0.1", network.port)
    assert await _is_ended(refused)

    network.heal()
    again, again_writer = await asyncio.open_connection("127.0.0.1", network.port)
    again_writer.write(b"two\n")
    assert await again.readline() == b"two\n"
    for one in (writer, refused_writer, again_writer):
        one.close()


async def _is_ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True
