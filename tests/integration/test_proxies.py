"""The recipe for nginx: the real nginx in front, with TLS by a self-made certificate."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.certificate import write_certificate
from tests.integration.commands import ROOT, server

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
RECIPE = (ROOT / "packaging" / "nginx" / "phoenix-compat.conf").read_text()
ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
_PATIENCE_S = 20.0

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Front:
    """The server behind nginx, and a client's session that trusts its certificate."""

    url: str
    folder: Path
    nginx: asyncio.subprocess.Process
    http: aiohttp.ClientSession

    async def reload(self) -> None:
        """Have nginx read its configuration again; back once new workers answer."""
        before = self._workers()
        await self._nginx("-s", "reload")
        async with asyncio.timeout(_PATIENCE_S):
            while not self._workers() - before:  # noqa: ASYNC110 - another program's processes
                await asyncio.sleep(0.01)

    def requests(self) -> list[str]:
        """The lines of nginx's log."""
        return (self.folder / "access.log").read_text().splitlines()

    def _workers(self) -> set[str]:
        children = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children")
        return set(children.read_text().split())

    async def _nginx(self, *arguments: str) -> None:
        assert NGINX is not None
        process = await asyncio.create_subprocess_exec(
            *(NGINX, "-e", str(self.folder / "error.log"), "-c", str(self.folder / "nginx.conf")),
            *arguments,
        )
        assert await process.wait() == 0


def configuration(folder: Path, port: int, upstream: str, certificate: Path) -> str:
    """The recipe with our port, upstream and certificate, and what must stand around it."""
    recipe = RECIPE
    for shipped, ours in (
        ("server 127.0.0.1:4000;", f"server {upstream};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/certs/tasks.example.com.pem", str(certificate)),
        ("/etc/ssl/private/tasks.example.com.key", str(certificate)),
    ):
        assert shipped in recipe
        recipe = recipe.replace(shipped, ours)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log {folder}/access.log;
{paths}
{recipe}
}}
"""


def free_port() -> int:
    """A port that nobody has at this moment: nginx cannot take one by itself."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """An emulator that reports by webhooks, the server with a public URL, and nginx before it."""
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
                PUBLIC_URL=url,
                PHOENIX_COMPAT_FILE_HOSTS=f'["{emulator}"]',
            )
        )
        text = configuration(tmp_path, port, upstream.removeprefix("http://"), certificate)
        (tmp_path / "nginx.conf").write_text(text)
        assert NGINX is not None
        nginx = await asyncio.create_subprocess_exec(
            *(NGINX, "-e", str(tmp_path / "error.log"), "-c", str(tmp_path / "nginx.conf"))
        )
        stack.push_async_callback(nginx.wait)
        stack.callback(nginx.terminate)
        trust = ssl.create_default_context(cafile=certificate)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
        )
        await _until_it_answers(http, url, nginx)
        yield Front(url, tmp_path, nginx, http)


async def _until_it_answers(
    http: aiohttp.ClientSession, url: str, nginx: asyncio.subprocess.Process
) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            assert nginx.returncode is None
            try:
                async with http.get(f"{url}/healthz") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)


async def ended(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The terminal `progress`."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            *_, event, payload = await socket.receive_json()
            if event == "progress" and payload["status"] != "processing":
                return dict(payload)


async def order(front: Front) -> str:
    """Order a picture; the task's id."""
    async with front.http.post(f"{front.url}/api/tasks", json=ORDER) as answer:
        assert answer.status == 202
        return str((await answer.json())["task_id"])


async def test_the_job_over_a_websocket_with_webhooks(front: Front) -> None:
    """A page of the public URL orders, joins and hears the end, which a webhook through nginx
    told; the picture comes through nginx too."""
    task_id = await order(front)
    async with front.http.ws_connect(
        f"{front.url}/socket/websocket?vsn=2.0.0", origin=front.url
    ) as socket:
        await socket.send_json(["1", "1", f"task:{task_id}", "phx_join", {}])
        last = await ended(socket)
    async with front.http.get(last["result_data"]["image_url"]) as picture:
        content = await picture.read()

    assert last["status"] == "completed"
    assert last["result_data"]["image_url"].startswith(f"{front.url}/files/")
    assert content[:3] == b"\xff\xd8\xff"
    webhooks = [line for line in front.requests() if '"POST /webhooks/replicate' in line]
    assert any('HTTP/1.1" 200 ' in line for line in webhooks)


async def test_long_polling(front: Front) -> None:
    """A session is opened, joins, and hears `progress` to the end."""
    task_id = await order(front)
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
    async with asyncio.timeout(_PATIENCE_S):
        while "completed" not in text:
            async with front.http.get(polls) as answer:
                text += await answer.text()

    assert posted == 200
    assert "phx_reply" in text


async def test_a_client_survives_a_reload(front: Front) -> None:
    """A websocket from before the reload goes on, with the job that it watches."""
    async with front.http.ws_connect(f"{front.url}/socket/websocket?vsn=2.0.0") as socket:
        await socket.send_json([None, "1", "phoenix", "heartbeat", {}])
        before = await socket.receive_json(timeout=_PATIENCE_S)
        task_id = await order(front)
        await socket.send_json(["2", "2", f"task:{task_id}", "phx_join", {}])
        await front.reload()
        last = await ended(socket)
        await socket.send_json([None, "3", "phoenix", "heartbeat", {}])
        after = await socket.receive_json(timeout=_PATIENCE_S)

    assert before[3] == after[3] == "phx_reply"
    assert last["status"] == "completed"
