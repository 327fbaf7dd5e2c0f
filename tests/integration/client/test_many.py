"""Many clients in one process: what each costs, and that they all work.

The server is a process of its own, so that the memory measured is the clients'.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from phoenix_compat.client import Client, ClientChannel, new_session
from tests.integration.operations.commands import server
from tests.integration.websocket.test_idle_memory import resident_bytes
from tests.patience import patient

MAX_BYTES = 40_000
_AT_ONCE = 100
_SPARE_FILES = 200

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc, which is Linux's"
)


@contextmanager
def open_files(count: int) -> Iterator[None]:
    """Let this process, and those that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} open files are needed, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Crowd:
    """Joined channels, and how many broadcasts each client has got."""

    channels: list[ClientChannel]
    received: list[int]


@asynccontextmanager
async def joined(url: str, count: int, session: aiohttp.ClientSession) -> AsyncIterator[Crowd]:
    """So many clients, each joined to the same topic."""
    received = [0] * count
    clients: list[Client] = []
    channels: list[ClientChannel] = []
    turn = asyncio.Semaphore(_AT_ONCE)

    async def start(number: int) -> None:
        def count_one(_payload: object) -> None:
            received[number] += 1

        async with turn:
            client = Client(url, session=session, timeout_s=patient(60.0))
            clients.append(await client.__aenter__())
            channel = client.channel("room:lobby")
            channel.on("msg", count_one)
            await channel.join()
            channels.append(channel)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(start(number))
        yield Crowd(channels, received)
    finally:
        for client in clients:
            await client.close()


@linux
@pytest.mark.parametrize(
    "count",
    [1_000, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(300)])],
)
async def test_many_clients_in_one_process(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Each gets a broadcast; each costs one task, no thread, and no more memory than it says."""
    command = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
    with open_files(count):
        async with server(*command) as (_process, url), new_session() as session:
            socket_url = f"{url}/socket"
            async with joined(socket_url, 20, session):  # what is loaded only once
                pass
            before = resident_bytes(os.getpid())
            tasks, threads = len(asyncio.all_tasks()), threading.active_count()
            begun_s = time.monotonic()
            async with joined(socket_url, count, session) as crowd:
                took_s = time.monotonic() - begun_s
                each = (resident_bytes(os.getpid()) - before) / count
                new_tasks = len(asyncio.all_tasks()) - tasks
                new_threads = threading.active_count() - threads
                await crowd.channels[0].push("broadcast", {"n": 1})
                async with asyncio.timeout(patient(60.0)):
                    while sum(crowd.received) < count:  # noqa: ASYNC110 - counted by callbacks
                        await asyncio.sleep(0.05)

    with capsys.disabled():
        print(f"\n{count} clients: {each:.0f} bytes each, joined in {took_s:.1f} s")  # noqa: T201
    assert set(crowd.received) == {1}
    assert (new_tasks, new_threads) == (count, 0)
    assert each < MAX_BYTES
