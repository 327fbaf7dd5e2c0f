"""The processes of `--workers` on a shared database: nodes with one connection to the bus."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tests.faults.app_client import AppClient
from tests.integration.nodes.node_processes import node_set
from tests.patience import patient
from tests.services.redis import OwnRedis

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the owner of a lock is read from /proc/locks"
    ),
]


async def test_the_processes_have_one_connection_and_another_takes_it_over(
    tmp_path: Path, postgres_url: str, own_redis: OwnRedis
) -> None:
    """However many there are, Redis sees two clients: one subscribes, and one publishes."""
    async with node_set(
        tmp_path, postgres_url, "--workers", "2", count=1, bus_url=own_redis.url
    ) as nodes:
        [node] = nodes.nodes
        await _until(lambda: " listens on " in node.log, 20.0)  # each of its processes does
        await _until(lambda: len(own_redis.client_ids()) == 2, 10.0)
        assert await _bus_connections(postgres_url) == 0
        before, holder = own_redis.client_ids(), _holder(tmp_path)

        os.kill(holder, signal.SIGKILL)

        await _until(lambda: len(after := own_redis.client_ids()) == 2 and not before & after, 20.0)
        assert _holder(tmp_path) != holder
        app = AppClient(nodes.http, node.url)
        running = asyncio.create_task(app.run())
        for _ in range(4):
            await app.watch(await nodes.post(node.url))
        async with asyncio.timeout(patient(30.0)):
            await app.all_ended()
        running.cancel()
        assert not app.violations
        assert len(own_redis.client_ids()) == 2
        assert await node.end() == 0, node.log


async def test_without_bus_url_they_have_one_pair_to_the_database(
    tmp_path: Path, postgres_url: str
) -> None:
    """One connection listens, and one notifies, for three processes."""
    async with node_set(tmp_path, postgres_url, "--workers", "3", count=1) as nodes:
        await _until(lambda: " listens on " in nodes.nodes[0].log, 20.0)
        assert await _bus_connections(postgres_url) == 2
        assert await nodes.nodes[0].end() == 0, nodes.nodes[0].log


def _holder(folder: Path) -> int:
    """The process that has the lock of the connection."""
    [lock] = folder.glob("node-0/phoenix-compat-*/broker-lock")
    inode = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, _, pid, place, *_ = line.split()
        if kind == "FLOCK" and place.rpartition(":")[2] == inode:
            return int(pid)
    raise AssertionError("nobody has the lock")


async def _bus_connections(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name LIKE 'phoenix_compat bus%'"
                " AND datname = current_database()"
            )
        )
    finally:
        await connection.close()


async def _until(is_so: Callable[[], bool], limit_s: float) -> None:
    async with asyncio.timeout(patient(limit_s)):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110 - a state
            await asyncio.sleep(0.05)
