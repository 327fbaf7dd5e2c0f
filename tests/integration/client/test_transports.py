"""What only one transport or version has: bytes, close codes, sizes, TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.client import (
    Client,
    ClientLimits,
    ConnectError,
    PushLostError,
    new_session,
)
from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.errors import EncodeError
from tests.certificate import server_context, write_certificate
from tests.clients import LP_V1, WS_V1, WS_V2, Cell
from tests.conftest import Serve
from tests.integration.client.conftest import QUICK, Make, joined
from tests.integration.client.waiting import Seen
from tests.serving import serving

BYTES = bytes((0, 1, 2, 127, 128, 254, 255))


@pytest.mark.parametrize("event", ["bin", "reply_binary"])
async def test_bytes_both_ways(make: Make, event: str) -> None:
    """Bytes are pushed, replied and received over a V2 websocket."""
    client = await make(*WS_V2)
    channel = await joined(client)

    reply = await channel.push(event, BYTES)
    channel.push_nowait("push_binary", {"bytes": list(BYTES)})
    pushed = await anext(channel)

    assert (reply, pushed.event, pushed.payload) == (BYTES, "bin", BYTES)


async def test_bytes_over_long_poll(make: Make) -> None:
    """Bytes are sent as base64; what the server sends must be UTF-8, as in Phoenix."""
    client = await make("longpoll", "2.0.0")
    channel = await joined(client)

    assert await channel.push("bin", b"\x00text") == b"\x00text"


@pytest.mark.parametrize("cell", [WS_V1, LP_V1], ids=str)
async def test_v1_has_no_bytes(make: Make, cell: Cell) -> None:
    """The error says what to write instead."""
    channel = await joined(await make(*cell))

    with pytest.raises(EncodeError, match=r'vsn="2\.0\.0"'):
        await channel.push("bin", b"\x00")


async def test_a_message_that_is_too_large(make: Make) -> None:
    """The connection is closed; the next one works, because the server does not repeat it."""
    client = await make(limits=ClientLimits(max_message_bytes=1_000), reconnect_after_s=(0.01,))
    channel = client.channel("room:a")
    joins, closes = Seen(channel.on_join), Seen(client.on_close)
    await channel.join()

    with pytest.raises(PushLostError):
        await channel.push("echo", {"text": "x" * 2_000})
    await joins.wait_for(2)

    assert closes.values[0][0] == 1009


@pytest.mark.parametrize(
    ("fault", "code"),
    [("close:1000", 1000), ("close:1001", 1001), ("close:4321", 4321), ("drop", 1006)],
)
async def test_close_codes(serve: Serve, fault: str, code: int) -> None:
    """Callbacks get the code of the server; 1006 if the connection just ended."""
    app = web.Application()
    add_fault_server(app)
    url = await serve(app)
    async with Client(f"{url}/faults/socket", **QUICK) as client:
        closes = Seen(client.on_close)
        channel = client.channel(f"fault:{fault}")
        joins = Seen(channel.on_join)
        await channel.join()

        await joins.wait_for(2)

    assert closes.values[0][0] == code


async def test_tls(tmp_path: Path) -> None:
    """With a session that trusts the certificate; without, the error says what is wrong."""
    certificate = write_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate)
    async with serving(build_reference_app(), server_context(certificate)) as url:
        socket_url = url.replace("https", "wss") + "/socket"
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with (
            new_session(connector=connector) as session,
            Client(socket_url, session=session) as client,
        ):
            response = await client.channel("room:a").join()
        with pytest.raises(ConnectError, match="the TLS handshake failed"):
            async with Client(socket_url):
                pass

    assert response == {"joined": "room:a"}
