"""The count of open connections: right again after each way in which a connection can end."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from phoenix_compat.conformance.suite.wire_client import WireClient, encode_close
from tests.integration.hardening.crowd import Limited, limited_server
from tests.wire import V2, PatientClient, PhoenixWire

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["asyncio", "uvloop"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Limited]:
    command = ("-m", "phoenix_compat", "serve", "--port", "0", "--data-dir", str(tmp_path))
    async with limited_server(
        sys.executable, *command, PHOENIX_COMPAT_LOOP=request.param
    ) as started:
        assert await started.open_connections(0) == 0
        yield started


def reset(client: WireClient) -> None:
    """Abort the connection: the server gets a reset."""
    transport = client._writer.transport
    own = transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def test_http_connections_count_until_they_are_closed(server: Limited) -> None:
    """Kept alive, closed by either side, reset, or with half a head."""
    async with AsyncExitStack() as ends:
        clients = [await PatientClient.connect(server.url) for _ in range(5)]
        for client in clients:
            ends.push_async_callback(client.close)
        kept, closing, aborted, half, idle = clients
        assert (await kept.request("GET", "/")).status == 200
        assert (await closing.request("GET", "/", [("Connection", "close")])).status == 200
        assert (await aborted.request("GET", "/")).status == 200
        await half.send_bytes(b"GET / HT")
        counts = [await server.open_connections(4)]

        reset(aborted)
        counts.append(await server.open_connections(3))
        for client in (kept, half, idle):
            await client.close()
        counts.append(await server.open_connections(0))

    assert counts == [4, 3, 0]


async def test_websockets_count_until_they_are_closed(server: Limited) -> None:
    """Though their sockets are taken from aiohttp: closed by either side, dropped, reset."""
    async with AsyncExitStack() as ends:
        wires = [await PhoenixWire.open(server.url) for _ in range(4)]
        for wire in wires:
            ends.push_async_callback(wire.close)
        by_client, by_server, dropped, aborted = wires
        counts = [await server.open_connections(4)]

        await by_client.client.send_bytes(encode_close(1000))
        counts.append(await server.open_connections(3))
        await by_server.send_text("no JSON, which ends the connection")
        await by_server.recv_close()
        await by_server.close()
        counts.append(await server.open_connections(2))
        await dropped.close()
        counts.append(await server.open_connections(1))
        reset(aborted.client)
        counts.append(await server.open_connections(0))

    assert counts == [4, 3, 2, 1, 0]


async def test_a_refused_upgrade_counts_while_its_connection_is_open(server: Limited) -> None:
    """It is an HTTP connection like any other."""
    client = await PatientClient.connect(server.url)
    refused = await client.handshake(V2, extra=[("Origin", "http://elsewhere.example")])
    while_open = await server.open_connections(1)
    await client.close()

    assert refused.status == 403
    assert while_open == 1
    assert await server.open_connections(0) == 0
