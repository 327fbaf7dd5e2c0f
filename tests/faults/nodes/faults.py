"""The faults: what is done to the nodes, PostgreSQL and Redis while apps create tasks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import aiohttp
import asyncpg

from tests.faults.nodes.installation import GO_ON, STOP, Installation, Node
from tests.faults.nodes.outcome import MAX_REFUSAL_S, MAX_TAKEOVER_S, Outcome
from tests.patience import patient

_POLL_S: Final = 0.25
_HELD: Final = """
SELECT count(*) FROM tasks WHERE node = any($1::text[]) AND status IN ('submitting', 'running')
"""
_IDS: Final = "SELECT id FROM nodes WHERE name ~ ('\\y' || $1 || '$')"


@dataclass(slots=True)
class Run:
    """A fault has this at hand.

    Attributes:
        size: how often it is done.
        pause_s: how long something is away, in seconds.
    """

    installation: Installation
    outcome: Outcome
    rng: random.Random
    size: int
    pause_s: float
    watched: list[asyncio.Task[None]] = field(default_factory=list)


Fault: TypeAlias = Callable[[Run], Awaitable[None]]


async def kill_nodes(run: Run) -> None:
    """SIGKILL one node after the other, at random moments; each is started again at once."""
    for _ in range(run.size):
        await asyncio.sleep(run.rng.uniform(0.2, 1.5))
        node = run.rng.choice(run.installation.nodes)
        ids = await _ids(run.installation, node)
        await node.server.kill()
        run.outcome.faults["SIGKILL"] += 1
        run.watched.append(asyncio.create_task(_watch_takeover(run, ids)))
        await run.installation.start(node)


async def stop_nodes(run: Run) -> None:
    """SIGSTOP a node until others have taken its tasks over, then SIGCONT."""
    for _ in range(run.size):
        node = run.rng.choice(run.installation.nodes)
        node.server.send(STOP)
        run.outcome.faults["SIGSTOP"] += 1
        await asyncio.sleep(run.pause_s)
        node.server.send(GO_ON)


async def cut_off_nodes(run: Run) -> None:
    """Cut a node off from PostgreSQL, but neither from Replicate nor from its clients."""
    for _ in range(run.size):
        node = run.rng.choice(run.installation.nodes)
        node.to_postgres.cut()
        run.outcome.faults["cut off from PostgreSQL"] += 1
        await _check_refusal(run, node)
        await asyncio.sleep(run.pause_s)
        node.to_postgres.heal()
        await run.installation.ready(node)


async def restart_postgres(run: Run) -> None:
    """Stop PostgreSQL in immediate mode, and start it again after a while."""
    for _ in range(run.size):
        await run.installation.services.postgres.restart(down_s=run.pause_s)
        run.outcome.faults["PostgreSQL restarted"] += 1
        await run.installation.ready(*run.installation.nodes)


async def disturb_redis(run: Run) -> None:
    """Restart Redis, let it stand still, and end all its connections."""
    redis = run.installation.services.redis
    for _ in range(run.size):
        await redis.restart(down_s=1.0)
        run.outcome.faults["Redis restarted"] += 1
        await asyncio.sleep(5.0)
        redis.pause()
        run.outcome.faults["Redis paused"] += 1
        await asyncio.sleep(run.pause_s)
        redis.resume()
        await run.installation.ready(*run.installation.nodes)
        for kind in ("pubsub", "normal"):
            await asyncio.to_thread(redis.command, "CLIENT", "KILL", "TYPE", kind)
        run.outcome.faults["Redis clients killed"] += 1
        await asyncio.sleep(1.0)
        await run.installation.ready(*run.installation.nodes)


async def restart_nodes(run: Run) -> None:
    """Stop each node by SIGTERM and start it again, one after the other."""
    for _ in range(run.size):
        for node in run.installation.nodes:
            code = await node.server.stop()
            if code:
                run.outcome.broken.append(f"a node stopped with exit code {code}")
            run.outcome.faults["SIGTERM"] += 1
            await run.installation.start(node)
            await run.installation.ready(node)


async def nothing(run: Run) -> None:
    """Do nothing: the nodes' clocks differ."""
    await asyncio.sleep(run.pause_s)
    run.outcome.faults["hours between clocks"] += 1


FAULTS: Final[dict[str, Fault]] = {
    "kill": kill_nodes,
    "stop": stop_nodes,
    "cut-off": cut_off_nodes,
    "postgres": restart_postgres,
    "redis": disturb_redis,
    "rolling": restart_nodes,
    "clocks": nothing,
}


async def _ids(installation: Installation, node: Node) -> Sequence[str]:
    """What the process of a node is called in the store."""
    connection = await asyncpg.connect(installation.services.postgres.url)
    try:
        return [row["id"] for row in await connection.fetch(_IDS, str(node.server.pid))]
    finally:
        await connection.close()


async def _watch_takeover(run: Run, ids: Sequence[str]) -> None:
    """Measure until no task is held any more by a node that was killed."""
    began_s = time.monotonic()
    connection = await asyncpg.connect(run.installation.services.postgres.url)
    try:
        async with asyncio.timeout(patient(2 * MAX_TAKEOVER_S)):
            while True:
                if not await connection.fetchval(_HELD, ids):
                    break
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        pass
    finally:
        await connection.close()
    run.outcome.note_takeover(time.monotonic() - began_s, patient(MAX_TAKEOVER_S))


async def _check_refusal(run: Run, node: Node) -> None:
    """A node without its database answers a POST with 503 and Retry-After within five seconds."""
    began_s = time.monotonic()
    body = {"input_data": {"type": "image", "prompt": "nobody gets this picture"}}
    try:
        async with run.installation.http.post(f"{node.server.url}/api/tasks", json=body) as answer:
            status, retry_after = answer.status, answer.headers.get("Retry-After")
    except aiohttp.ClientError as error:
        run.outcome.late.append(f"a POST without a database: {type(error).__name__}")
        return
    seconds = time.monotonic() - began_s
    if status != 503 or retry_after is None:
        run.outcome.late.append(f"a POST without a database: {status}, Retry-After {retry_after}")
    if seconds > patient(MAX_REFUSAL_S):
        run.outcome.late.append(f"a POST without a database was answered after {seconds:.1f} s")
