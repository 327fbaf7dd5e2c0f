"""Nodes that crash, stand still and come back, while clients wait for their pictures."""

from __future__ import annotations

import asyncio
import signal
import uuid
from pathlib import Path

import aiohttp
import pytest

from tests.faults.app_client import AppClient
from tests.integration.nodes.node_processes import NodeProcess, NodeSet, node_set
from tests.patience import patient

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TAKEOVER_S = 45.0


async def _running(nodes: NodeSet, app: AppClient, count: int) -> list[str]:
    """Post tasks to all nodes in turn, and watch them."""
    posted = [await nodes.post(nodes.nodes[number % 3].url) for number in range(count)]
    for task_id in posted:
        await app.watch(task_id)
    return posted


def _took_over(nodes: list[NodeProcess]) -> int:
    """How often one of these nodes has gone on with a task of another."""
    return sum(node.log.count('"task.taken_over"') for node in nodes)


async def test_a_crash_is_made_up_for(tmp_path: Path, postgres_url: str) -> None:
    """The tasks of a node that got SIGKILL end at others, and nothing is billed twice."""
    async with node_set(tmp_path, postgres_url, speed=0.7) as nodes:
        app = AppClient(nodes.http, nodes.url)
        running = asyncio.create_task(app.run())
        posted = await _running(nodes, app, 9)
        async with asyncio.timeout(patient(20.0)):
            while "running" not in await nodes.states(posted):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)

        await nodes.nodes[0].end(signal.SIGKILL)
        began_s = asyncio.get_running_loop().time()

        async with asyncio.timeout(patient(TAKEOVER_S + 30.0)):
            await app.all_ended()
        took_s = asyncio.get_running_loop().time() - began_s
        running.cancel()
        ends = {one.terminal["status"] for one in app.received.values() if one.terminal}
        assert ends == {"completed"}
        assert not app.violations
        assert await nodes.creates() == len(posted)
        if _took_over(nodes.nodes[1:]):
            assert took_s < patient(TAKEOVER_S + 15.0)


async def test_a_node_that_stood_still_writes_nothing_more(
    tmp_path: Path, postgres_url: str
) -> None:
    """Others have its tasks by then; it learns of that and goes on with new ones."""
    async with node_set(tmp_path, postgres_url, speed=0.25) as nodes:
        app = AppClient(nodes.http, nodes.url)
        running = asyncio.create_task(app.run())
        posted = await _running(nodes, app, 6)
        async with asyncio.timeout(patient(20.0)):
            while "running" not in await nodes.states(posted):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)

        nodes.nodes[0].signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(patient(TAKEOVER_S + 15.0)):
                while not _took_over(nodes.nodes[1:]):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.2)
        finally:
            nodes.nodes[0].signal(signal.SIGCONT)

        async with asyncio.timeout(patient(60.0)):
            await app.all_ended()
        running.cancel()
        assert not app.violations
        assert await nodes.creates() == len(posted)
        assert '"lease.lost"' in nodes.nodes[0].log


async def _post_until(nodes: NodeSet, done: asyncio.Event) -> tuple[list[str], int, int]:
    """Post tasks through nginx, each with a key, and again if that failed.

    Returns:
        The tasks, how many were posted again, and the most attempts that one needed.
    """
    posted: list[str] = []
    repeated, most = 0, 1
    while not done.is_set():
        key, attempts = uuid.uuid4().hex, 0
        while True:
            attempts += 1
            try:
                posted.append(await nodes.post(**{"Idempotency-Key": key}))
                break
            except (aiohttp.ClientError, AssertionError):  # refused, or cut off
                assert attempts < 5
                await asyncio.sleep(0.2)
        repeated += attempts > 1
        most = max(most, attempts)
        await asyncio.sleep(0.1)
    return posted, repeated, most


async def test_a_rolling_restart_fails_no_post(tmp_path: Path, postgres_url: str) -> None:
    """At most one repeat is needed, and every task ends for its client."""
    async with node_set(tmp_path, postgres_url, speed=10.0) as nodes:
        app = AppClient(nodes.http, nodes.url)
        running = asyncio.create_task(app.run())
        done = asyncio.Event()
        posting = asyncio.create_task(_post_until(nodes, done))

        for node in nodes.nodes:
            assert await node.end() == 0, node.log
            await node.start()
        done.set()
        posted, _, most = await posting

        assert most <= 2
        for task_id in posted:
            await app.watch(task_id)
        async with asyncio.timeout(patient(60.0)):
            await app.all_ended()
        running.cancel()
        ends = {one.terminal["status"] for one in app.received.values() if one.terminal}
        assert ends == {"completed"}
        assert not app.violations
        assert await nodes.creates() == len(posted)
