"""The shipped configurations for nginx and Caddy, with TLS and a self-signed certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.certificate import write_certificate
from tests.integration.operations.commands import server
from tests.integration.process.proxies import Caddy, Nginx, Proxy, free_port
from tests.patience import patient

MONK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
_TIMEOUT_S = 20.0


@dataclass
class Front:
    """A server behind a proxy, and a session that trusts the proxy's certificate."""

    url: str
    proxy: Proxy
    http: aiohttp.ClientSession

    async def create_task(self) -> str:
        """Create a task; returns its id."""
        async with self.http.post(f"{self.url}/api/tasks", json=MONK) as answer:
            assert answer.status == 202
            return str((await answer.json())["task_id"])

    @asynccontextmanager
    async def joined(
        self, task_id: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a websocket that joins the task's channel."""
        async with self.http.ws_connect(
            f"{self.url}/socket/websocket?vsn=2.0.0", **options
        ) as socket:
            await socket.send_json(["1", "1", f"task:{task_id}", "phx_join", {}])
            yield socket


@pytest.fixture(params=[Nginx, Caddy], ids=lambda proxy: proxy.name)
async def front(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Front]:
    """An emulator that sends webhooks, the server with a public URL, and a proxy in front of it."""
    proxy_class: type[Proxy] = request.param
    if proxy_class.program() is None:
        pytest.skip(f"{proxy_class.name} is not installed")
    certificate = await asyncio.to_thread(write_certificate, tmp_path)
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        _, emulator = await stack.enter_async_context(
            server(
                *("server.py", "emulator", "--port", "0", "--speed", "20"),
                SSL_CERT_FILE=str(certificate),
            )
        )
        _, upstream = await stack.enter_async_context(
            server(
                *("server.py", "--port", "0", "--data-dir", str(tmp_path / "data")),
                REPLICATE_API_TOKEN="r8_mine",
                REPLICATE_BASE_URL=f"{emulator}/v1",
                PHOENIX_COMPAT_INSECURE_NO_AUTH="true",
                PUBLIC_URL=url,
                PHOENIX_COMPAT_FILE_HOSTS=f'["{emulator}"]',
            )
        )
        proxy = proxy_class(tmp_path, port, upstream.removeprefix("http://"), certificate)
        await stack.enter_async_context(proxy.running())
        trust = ssl.create_default_context(cafile=certificate)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
        )
        front = Front(url, proxy, http)
        await until_it_answers(front)
        yield front


async def until_it_answers(front: Front) -> None:
    """Request /healthz through the proxy until it listens."""
    process = front.proxy.process
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        while True:
            assert process is not None
            assert process.returncode is None, (front.proxy.folder / "output").read_text()
            try:
                async with front.http.get(f"{front.url}/healthz") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)


async def ended(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The terminal `progress`."""
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        while True:
            *_, event, payload = await socket.receive_json()
            if event == "progress" and payload["status"] != "processing":
                return dict(payload)


async def test_the_job_over_a_websocket_with_webhooks(front: Front) -> None:
    """A page of the public URL creates a task, joins, and gets the end, which a webhook through the
    proxy reported; the picture comes through the proxy too."""
    task_id = await front.create_task()
    async with front.joined(task_id, origin=front.url) as socket:
        last = await ended(socket)
    async with front.http.get(last["result_data"]["image_url"]) as picture:
        content = await picture.read()

    assert last["status"] == "completed"
    assert last["result_data"]["image_url"].startswith(f"{front.url}/files/")
    assert content[:3] == b"\xff\xd8\xff"
    assert ("POST", "/webhooks/replicate", 200) in front.proxy.requests()


async def test_long_polling(front: Front) -> None:
    """A session is opened, joins, and gets `progress` until the end."""
    task_id = await front.create_task()
    url = f"{front.url}/socket/longpoll?vsn=2.0.0"
    async with front.http.get(url) as answer:
        token = (await answer.json(content_type=None))["token"]
    join = f'["1","1","task:{task_id}","phx_join",{{}}]'
    polls = f"{url}&token={token}"
    async with front.http.post(
        polls, data=join, headers={"content-type": "application/x-ndjson"}
    ) as answer:
        posted = (await answer.json(content_type=None))["status"]
    text = ""
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        while "completed" not in text:
            async with front.http.get(polls) as answer:
                text += await answer.text()

    assert posted == 200
    assert "phx_reply" in text


async def test_a_client_survives_a_reload(front: Front) -> None:
    """nginx keeps an open websocket. Caddy closes it, but not with 1000, after which clients would
    not reconnect: they reconnect, join again, and get the end of the job."""
    task_id = await front.create_task()
    async with front.joined(task_id) as socket:
        reply = await socket.receive_json(timeout=patient(_TIMEOUT_S))
        await front.proxy.reload()
        if front.proxy.keeps_websockets:
            last = await ended(socket)
        else:
            assert await closed(socket) != aiohttp.WSCloseCode.OK
            async with front.joined(task_id) as again:
                last = await ended(again)

    assert reply[3] == "phx_reply"
    assert last["status"] == "completed"


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The close code of the other side."""
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        async for _ in socket:
            pass
    return socket.close_code
