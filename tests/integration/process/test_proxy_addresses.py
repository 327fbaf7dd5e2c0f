"""Which client the shipped configurations for nginx and Caddy name, whatever it wrote itself."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.server.rates.client_address import ClientAddresses
from tests.certificate import write_certificate
from tests.integration.process.proxies import Caddy, Nginx, Proxy, free_port
from tests.integration.process.test_proxies import Front, until_it_answers
from tests.serving import serving

CLIENT = "127.0.0.2"
FORGED = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}


@pytest.mark.parametrize("proxy_class", [Nginx, Caddy], ids=lambda proxy: proxy.name)
@pytest.mark.parametrize("headers", [{}, FORGED], ids=["honest", "forged"])
async def test_the_proxy_names_its_client(
    tmp_path: Path, proxy_class: type[Proxy], headers: dict[str, str]
) -> None:
    """The last address is that of the connection, and nothing else says who the client is."""
    if proxy_class.program() is None:
        pytest.skip(f"{proxy_class.name} is not installed")
    certificate = await asyncio.to_thread(write_certificate, tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    # The proxy is trusted, and its client is another address of the loopback.
    addresses = ClientAddresses(["127.0.0.1"])
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"client": addresses.of(request)})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    connector = aiohttp.TCPConnector(ssl=trust, local_addr=(CLIENT, 0))
    async with serving(app) as upstream, aiohttp.ClientSession(connector=connector) as http:
        port = free_port()
        proxy = proxy_class(tmp_path, port, upstream.removeprefix("http://"), certificate)
        async with proxy.running():
            front = Front(f"https://127.0.0.1:{port}", proxy, http)
            await until_it_answers(front)
            seen.clear()
            async with http.get(f"{front.url}/", headers=headers) as response:
                found = await response.json()

    [request] = seen
    assert request.headers["X-Forwarded-For"].split(", ")[-1] == CLIENT
    assert "Forwarded" not in request.headers
    assert found == {"client": None}  # a loopback address is not counted
