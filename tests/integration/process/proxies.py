"""Runs nginx and Caddy with the shipped configurations, between a client and the server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

from tests.integration.operations.commands import ROOT
from tests.patience import patient

_TIMEOUT_S = 20.0
_SBIN = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_NGINX_LINE = re.compile(r'"(?P<method>\S+) (?P<target>\S+) [^"]*" (?P<status>\d+) ')


class Request(NamedTuple):
    """A request in the log of the proxy."""

    method: str
    path: str
    status: int


class Proxy(ABC):
    """An installed proxy, which writes everything into one folder.

    Args:
        folder: for configuration, logs, sockets and state.
        port: the port on the loopback on which it listens with TLS.
        upstream: the server, "HOST:PORT".
        certificate: a file with certificate and key.
    """

    name: ClassVar[str]
    keeps_websockets: ClassVar[bool]
    """Whether open websockets survive a reload."""

    def __init__(self, folder: Path, port: int, upstream: str, certificate: Path) -> None:
        self.folder, self.port, self.upstream = folder, port, upstream
        self.certificate = certificate
        self.process: asyncio.subprocess.Process | None = None

    @classmethod
    def program(cls) -> str | None:
        """The path of the program, if it is installed."""
        return shutil.which(cls.name, path=_SBIN)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the proxy; it is ended by SIGTERM."""
        self._write_configuration()
        self.process = await self._spawn(*self._serve)
        try:
            yield
        finally:
            if self.process.returncode is None:
                self.process.terminate()
            await self.process.wait()

    @abstractmethod
    async def reload(self) -> None:
        """Reload the configuration, and wait until it is in force."""

    @abstractmethod
    def requests(self) -> list[Request]:
        """The requests in the log."""

    @property
    @abstractmethod
    def _serve(self) -> tuple[str, ...]:
        """The arguments for serving in the foreground."""

    @abstractmethod
    def _write_configuration(self) -> None: ...

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        program = self.program()
        assert program is not None
        # Caddy stores its state in these folders, by default in the user's home.
        homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(self.folder))
        with (self.folder / "output").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                program, *arguments, stdout=output, stderr=output, env={**os.environ, **homes}
            )

    async def _done(self, *arguments: str) -> None:
        process = await self._spawn(*arguments)
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            assert await process.wait() == 0, (self.folder / "output").read_text()


class Nginx(Proxy):
    """nginx: the shipped file is a part of its `http` block."""

    name = "nginx"
    keeps_websockets = True

    async def reload(self) -> None:
        """Reload. Old workers keep running for their websockets, beside the new ones."""
        before = self._workers()
        await self._done(*self._serve, "-s", "reload")
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            while not self._workers() - before:  # noqa: ASYNC110 - another program's processes
                await asyncio.sleep(0.01)

    def requests(self) -> list[Request]:
        """Parse the log in nginx's own format."""
        found = _NGINX_LINE.finditer((self.folder / "access.log").read_text())
        return [Request(one["method"], _path(one["target"]), int(one["status"])) for one in found]

    @property
    def _serve(self) -> tuple[str, ...]:
        return "-e", str(self.folder / "error.log"), "-c", str(self.folder / "nginx.conf")

    def _write_configuration(self) -> None:
        recipe = _edited(
            "nginx/phoenix-compat.conf",
            ("server 127.0.0.1:4000;", f"server {self.upstream};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("/etc/ssl/certs/tasks.example.com.pem", str(self.certificate)),
            ("/etc/ssl/private/tasks.example.com.key", str(self.certificate)),
        )
        paths = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(f"""
daemon off;
worker_processes 1;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log;
events {{}}
http {{
access_log {self.folder}/access.log;
{paths}
{recipe}
}}
""")

    def _workers(self) -> set[str]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(children.read_text().split())


class Caddy(Proxy):
    """Caddy: the shipped file is its whole configuration. A given certificate is used as it is."""

    name = "caddy"
    keeps_websockets = False

    async def reload(self) -> None:
        """Reload. `caddy reload` returns when the new configuration is in force."""
        await self._done("reload", "--force", *self._serve[1:])

    def requests(self) -> list[Request]:
        """Parse the log, which has a JSON object per line."""
        log = self.folder / "access.log"
        lines = map(json.loads, log.read_text().splitlines())
        return [
            Request(one["request"]["method"], _path(one["request"]["uri"]), one["status"])
            for one in lines
        ]

    @property
    def _serve(self) -> tuple[str, ...]:
        return "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"

    def _write_configuration(self) -> None:
        recipe = _edited(
            "caddy/Caddyfile",
            ("127.0.0.1:4000", self.upstream),
            (
                "tasks.example.com {",
                f"""https://127.0.0.1:{self.port} {{
	bind 127.0.0.1
	tls {self.certificate} {self.certificate}
	log {{
		output file {self.folder}/access.log
	}}""",
            ),
        )
        (self.folder / "Caddyfile").write_text(f"""{{
	admin unix/{self.folder}/admin.sock
	auto_https off
}}
{recipe}""")


def free_port() -> int:
    """A port that is free at the moment: proxies cannot choose one themselves."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _edited(name: str, *edits: tuple[str, str]) -> str:
    """A shipped file with the changes that the test needs."""
    recipe = (ROOT / "packaging" / name).read_text()
    for shipped, ours in edits:
        assert shipped in recipe
        recipe = recipe.replace(shipped, ours)
    return recipe


def _path(target: str) -> str:
    return target.partition("?")[0]
