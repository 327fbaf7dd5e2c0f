"""nginx before several nodes, without sticky sessions."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from tests.integration.process.proxies import Nginx, free_port
from tests.patience import patient


class InTurn(Nginx):
    """nginx that sends each request to the next server, without sticky sessions and TLS."""

    @classmethod
    @asynccontextmanager
    async def before(cls, folder: Path, *urls: str) -> AsyncIterator[Self]:
        """Run it before these servers; skips the test if nginx is not installed."""
        if cls.program() is None:
            if os.environ.get("CI") == "true":
                pytest.fail("nginx is not installed")
            pytest.skip("nginx is not installed")
        for url in urls:
            await accepts(url)
        await asyncio.to_thread(folder.mkdir)
        upstream = " ".join(url.removeprefix("http://") for url in urls)
        nginx = cls(folder, free_port(), upstream, folder)
        async with nginx.running():
            await accepts(nginx.url)
            yield nginx

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    def reached(self) -> Counter[str]:
        """How many requests each server got."""
        return Counter((self.folder / "access.log").read_text().split())

    def _write_configuration(self) -> None:
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(f"""
daemon off;
worker_processes 1;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log;
events {{ worker_connections 2000; }}
http {{
log_format upstream $upstream_addr;
access_log {self.folder}/access.log upstream;
{temporary}
upstream nodes {{ {" ".join(f"server {each};" for each in self.upstream.split())} }}
client_max_body_size 20m;
map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
server {{
listen 127.0.0.1:{self.port};
location / {{
proxy_pass http://nodes;
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
}}
}}
}}
""")


async def accepts(url: str) -> None:
    """Wait until a server answers."""
    async with asyncio.timeout(patient(30.0)), aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(url):
                    return
            except OSError:
                await asyncio.sleep(0.05)
