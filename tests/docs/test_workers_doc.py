"""The recipe of docs/workers.md for a server of one's own, as it stands."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from phoenix_compat import Endpoint
from tests.docs.pages import blocks, page
from tests.patience import patient
from tests.serving import accepting


def endpoint_with(secret: str) -> Endpoint:
    """An endpoint with a long-poll socket."""
    endpoint = Endpoint(secret_key_base=secret)
    endpoint.socket("/socket", accepting({}), longpoll=True)
    return endpoint


def free_port() -> int:
    """A port that two processes can share with SO_REUSEPORT."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_recipe_serves_long_polling_across_processes() -> None:
    """E7: a poll that reaches another process than the one with the session is answered."""
    names: dict[str, Any] = {}
    exec(compile(blocks(page("workers.md"), "python")[0], "workers.md", "exec"), names)  # noqa: S102 - our own text
    stop = asyncio.Event()
    ports = [free_port(), free_port()]
    with tempfile.TemporaryDirectory(prefix="doc-") as name:
        async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
            for node, port in enumerate(ports):
                arguments = (node, 2, Path(name), "s" * 64, endpoint_with, port, stop)
                group.create_task(names["serve_node"](*arguments))
            urls = [f"http://127.0.0.1:{port}/socket/longpoll?vsn=2.0.0" for port in ports]
            for url in urls:
                await until_served(http, url)

            async with http.get(urls[0]) as answer:
                token = (await answer.json())["token"]
            frame = '["1","2","phoenix","heartbeat",{}]'
            async with http.post(urls[1], params={"token": token}, data=frame) as answer:
                pushed = await answer.json()
            async with http.get(urls[1], params={"token": token}) as answer:
                polled = await answer.json()

            stop.set()
    assert pushed["status"] == 200
    assert polled["status"] == 200
    assert "ok" in str(polled["messages"])


async def until_served(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until a server listens there."""
    async with asyncio.timeout(patient(10.0)):
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
