"""Nodes as processes with folders of their own, on one PostgreSQL and one Redis, behind nginx."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from phoenix_compat.emulator import EmulatorSettings
from tests.faults.nodes.proxy import Proxy, open_proxy
from tests.faults.observed_emulator import ObservedEmulator, observed_emulator
from tests.faults.server_process import HarnessError, ServerProcess
from tests.patience import patient
from tests.services.network import Network, open_network
from tests.services.postgres import OwnPostgres
from tests.services.redis import OwnRedis

_SPEED: Final = 4.0
_CONCURRENCY: Final = 50
_NO_LIMIT: Final = 1_000_000
READY_S: Final = 60.0
"""How long a node may take to work again: its database was away, or its bus."""
_POLL_S: Final = 0.1
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)


@dataclass(slots=True)
class Node:
    """One node.

    Attributes:
        server: its process.
        to_postgres: its way to PostgreSQL.
    """

    server: ServerProcess
    to_postgres: Network


@dataclass(slots=True)
class Services:
    """What the nodes share."""

    postgres: OwnPostgres
    redis: OwnRedis


class Installation:
    """All nodes and what they share.

    Attributes:
        url: of the proxy in front of them.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        services: Services,
        emulator: ObservedEmulator,
        http: aiohttp.ClientSession,
        proxy: Proxy,
    ) -> None:
        self.nodes = nodes
        self.services = services
        self.emulator = emulator
        self.http = http
        self.url = proxy.url

    async def start(self, *nodes: Node) -> None:
        """Start these nodes, side by side, and wait until they answer."""
        await asyncio.gather(*(node.server.start() for node in nodes))
        await asyncio.gather(*(node.server.ready(self.http) for node in nodes))

    async def ready(self, *nodes: Node) -> None:
        """Wait until these nodes can work.

        Raises:
            HarnessError: one cannot in `READY_S` seconds, or has exited.
        """
        await asyncio.gather(*(self._ready(node) for node in nodes))

    async def _ready(self, node: Node) -> None:
        try:
            async with asyncio.timeout(patient(READY_S)):
                while await self._status(node) != 200:
                    node.server.check_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise HarnessError(f"{node.server.url}/readyz is not 200") from None

    async def _status(self, node: Node) -> int:
        try:
            async with self.http.get(f"{node.server.url}/readyz") as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    async def stop(self) -> list[str]:
        """Stop all nodes by SIGTERM; returns what went wrong in all their runs."""
        codes = await asyncio.gather(*(node.server.stop() for node in self.nodes))
        problems = [f"a node stopped with exit code {code}" for code in codes if code]
        for node in self.nodes:
            problems += await asyncio.to_thread(node.server.logged_errors)
        return problems


@asynccontextmanager
async def open_installation(
    folder: Path,
    services: Services,
    *,
    seed: str,
    nodes: int = 3,
    prefixes: Sequence[Sequence[str]] = (),
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Installation]:
    """Nodes that are not started yet; they are killed when the block ends.

    Args:
        prefixes: for each node what to write before its command, as `faketime` and its arguments.
        settings: further environment variables.
    """
    rng = random.Random(seed)  # noqa: S311 - the emulator's pace, no secrets
    emulator_settings = EmulatorSettings(
        speed=_SPEED,
        seed=rng.getrandbits(32),
        creates_per_minute=_NO_LIMIT,
        requests_per_minute=_NO_LIMIT,
        max_predictions=_NO_LIMIT,
    )
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(observed_emulator(emulator_settings))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=_TIMEOUT))
        made: list[Node] = []
        for number in range(nodes):
            network = await stack.enter_async_context(
                open_network("127.0.0.1", services.postgres.port)
            )
            below = folder / f"node-{number}"
            below.mkdir(parents=True)
            changes = {
                **_settings(folder, services, emulator, network),
                **(settings or {}),
            }
            prefix = prefixes[number] if number < len(prefixes) else ()
            made.append(Node(ServerProcess(below, changes, prefix=prefix), network))
        proxy = await stack.enter_async_context(
            open_proxy(folder, [node.server.port for node in made])
        )
        try:
            yield Installation(made, services, emulator, http, proxy)
        finally:
            await asyncio.gather(*(node.server.kill() for node in made))


def _settings(
    folder: Path, services: Services, emulator: ObservedEmulator, network: Network
) -> dict[str, str]:
    files = folder / "files"
    files.mkdir(mode=0o700, exist_ok=True)
    url = urlsplit(services.postgres.url)
    way = f"{url.username}:{url.password}@127.0.0.1:{network.port}"
    return {
        "REPLICATE_API_TOKEN": "r8_kills",
        "REPLICATE_BASE_URL": f"{emulator.origin}/v1",
        "PHOENIX_COMPAT_CONCURRENCY": str(_CONCURRENCY),
        "PHOENIX_COMPAT_INSECURE_NO_AUTH": "true",
        "PHOENIX_COMPAT_TRUSTED_PROXIES": json.dumps(["127.0.0.1"]),
        "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([emulator.origin]),
        "PHOENIX_COMPAT_DATABASE_URL": url._replace(netloc=way).geturl(),
        "PHOENIX_COMPAT_BUS_URL": services.redis.url,
        "PHOENIX_COMPAT_FILES_URL": files.as_uri(),
    }


STOP: Final = signal.SIGSTOP
"""Lets a node stand still."""
GO_ON: Final = signal.SIGCONT
"""Lets it go on."""
