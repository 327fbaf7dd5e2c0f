"""Nodes as processes that are stopped and killed while they run tasks at the emulator."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from phoenix_compat.emulator import EmulatorSettings
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.opening import open_shared_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.faults.observed_emulator import (
    Exchange,
    ObservedEmulator,
    Operation,
    Phase,
    observed_emulator,
)
from tests.integration.leases.shared_account import QUICK
from tests.integration.store_contract.engines import POSTGRES_SCHEMA
from tests.integration.worker.worker_harness import task_params
from tests.patience import patient

ROOT = Path(__file__).parents[3]
_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
HAS_FAKETIME = _FAKETIME is not None
_ACTIVE = """
SELECT wait_event FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
"""
"""Sessions in the middle of a message; those that wait for more of it are in ClientRead."""


class NodeProcess:
    """A running node program.

    Attributes:
        heard: what it announced, oldest first.
        last: what it said when it stopped.
    """

    def __init__(self, process: Process) -> None:
        self.heard: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}
        self._process = process
        self._started = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def started(self) -> None:
        """Wait until it takes tasks."""
        async with asyncio.timeout(patient(15.0)):
            await self._started.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def end(self, number: signal.Signals) -> None:
        """End it, and read what it has said."""
        with suppress(ProcessLookupError):
            self.send(signal.SIGCONT)
            self.send(number)
        async with asyncio.timeout(patient(15.0)):
            await self._process.wait()
            await self._reading

    def ends(self) -> list[str]:
        """The tasks whose ends it announced."""
        return [one["task"] for one in self.heard if one["status"] in {"completed", "failed"}]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line) if line.startswith(b"{") else {"log": line}
            if "log" in said:
                continue
            if "task" in said:
                self.heard.append(said)
            elif "started" in said:
                self._started.set()
            else:
                self.last = said


class Nodes:
    """Starts nodes on one database and one emulator.

    Attributes:
        all: every node that was started.
    """

    def __init__(self, store: TaskStore, url: str, emulator: ObservedEmulator) -> None:
        self.all: list[NodeProcess] = []
        self.store = store
        self.emulator = emulator
        self._url = url

    async def start(self, clock: str = "", leases: str = "quick") -> NodeProcess:
        """Start a node.

        Args:
            clock: how wrong its wall clock is: "+1h".
            leases: see the program.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.leases.node_program"),
            *(f"node-{len(self.all)}", self._url, self.emulator.origin, leases),
            stdout=PIPE,
            cwd=ROOT,
            env={**os.environ, **_wrong(clock)},
        )
        self.all.append(NodeProcess(process))
        return self.all[-1]

    async def stand_still(self, node: NodeProcess) -> None:
        """Stop a node, but not while it waits for PostgreSQL to parse a statement.

        No limit of PostgreSQL 15 ends that wait, so its locks stay until the node goes on: a fault
        of its own, which docs/nodes.md names.
        """
        connection = await asyncpg.connect(self._url)
        async with asyncio.timeout(patient(15.0)):
            while True:
                node.send(signal.SIGSTOP)
                while active := await connection.fetch(_ACTIVE):
                    if any(row["wait_event"] == "ClientRead" for row in active):
                        break
                    await asyncio.sleep(0.01)
                if not active:
                    break
                node.send(signal.SIGCONT)
                await asyncio.sleep(0.01)
        await connection.close()

    async def add(self, count: int) -> list[Task]:
        """Add tasks with prompts of their own."""
        return [await self.store.add(task_params(prompt=f"monk {n}")) for n in range(count)]

    async def ended(self, tasks: list[Task]) -> list[Task]:
        """The tasks, once all have ended."""
        async with asyncio.timeout(patient(40.0)):
            while True:
                now = [await self.store.get(task.id) for task in tasks]
                if all(task is not None and task.status.is_terminal for task in now):
                    return [task for task in now if task is not None]
                await asyncio.sleep(0.05)

    @property
    def created(self) -> int:
        """How many predictions the emulator has made, and so billed."""
        return int(self.emulator.state.counts["created"])


def _wrong(clock: str) -> dict[str, str]:
    """The environment of a process with a wrong wall clock."""
    if not clock:
        return {}
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME": clock,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[Nodes]:
    """No node runs yet; all that were started are ended."""
    settings = EmulatorSettings(speed=10, seed=1, api_token="r8_made_up")
    async with (
        observed_emulator(settings) as emulator,
        await open_shared_task_store(
            postgres_url, POSTGRES_SCHEMA, timeout_s=patient(5.0)
        ) as store,
    ):
        running = Nodes(store, postgres_url, emulator)
        yield running
        for node in running.all:
            await node.end(signal.SIGKILL)


async def test_a_node_that_stood_still_writes_and_tells_nothing(nodes: Nodes) -> None:
    """Its task is ended by another node; it finds that out, and stops working on it.

    It has just asked for the prediction, so no create is on its way: what becomes of one depends on
    the moment of the stop. The clocks of the two are two hours apart, which changes nothing.
    """
    stopped = await nodes.start("+1h" if HAS_FAKETIME else "")
    await stopped.started()
    with nodes.emulator.intercept(lambda one: one.operation is Operation.POLL) as polled:
        tasks = await nodes.add(1)
        async with asyncio.timeout(patient(15.0)):
            await polled.matched.wait()

    await nodes.stand_still(stopped)
    # Its own leases are long: on a busy machine it could lose short ones, too.
    other = await nodes.start("-1h" if HAS_FAKETIME else "", "standard")
    ended = await nodes.ended(tasks)
    heard = len(stopped.heard)
    stopped.send(signal.SIGCONT)
    await asyncio.sleep(QUICK.renew_every_s * 3)
    await stopped.end(signal.SIGTERM)

    assert {task.status for task in ended} == {TaskStatus.COMPLETED}
    assert nodes.created == len(tasks)
    assert sorted(other.ends()) == sorted(task.id for task in tasks)
    assert stopped.heard[heard:] == []
    assert stopped.last["counts"]["leases_lost"] >= 1
    for task, before in zip(await nodes.ended(tasks), ended, strict=True):
        assert task == before


@pytest.mark.parametrize(
    ("operation", "phase"),
    [
        (Operation.CREATE, Phase.RESPONSE),
        pytest.param(Operation.CREATE, Phase.REQUEST, marks=pytest.mark.long),
        pytest.param(Operation.POLL, Phase.RESPONSE, marks=pytest.mark.long),
    ],
)
async def test_a_killed_node_bills_nothing_twice(
    nodes: Nodes, operation: Operation, phase: Phase
) -> None:
    """At each step of its create and its polls: another node ends the task, billed once."""
    killed = await nodes.start()
    await killed.started()

    def is_wanted(exchange: Exchange) -> bool:
        return (exchange.operation, exchange.phase) == (operation, phase)

    with nodes.emulator.intercept(is_wanted, holds=True) as held:
        tasks = await nodes.add(1)
        async with asyncio.timeout(patient(15.0)):
            await held.matched.wait()
        await killed.end(signal.SIGKILL)
    other = await nodes.start()
    (ended,) = await nodes.ended(tasks)
    await other.end(signal.SIGTERM)

    assert ended.status is TaskStatus.COMPLETED
    assert nodes.created == 1
    assert killed.ends() == []
    assert other.ends() == [ended.id]


@pytest.mark.long
@pytest.mark.skipif(not HAS_FAKETIME, reason="faketime is not installed")
async def test_wrong_clocks_change_nothing(nodes: Nodes) -> None:
    """Two nodes are two hours apart: neither takes what the other one has, and times are right."""
    running = [await nodes.start(clock, "standard") for clock in ("+1h", "-1h")]
    await asyncio.gather(*(node.started() for node in running))
    began_at = datetime.now(UTC)
    ended = await nodes.ended(await nodes.add(12))
    for node in running:
        await node.end(signal.SIGTERM)

    assert {task.status for task in ended} == {TaskStatus.COMPLETED}
    assert nodes.created == len(ended)
    for node in running:
        assert not {"takeovers", "leases_lost", "renewals_failed"} & node.last["counts"].keys()
    slack = timedelta(seconds=5)
    for task in ended:
        assert task.completed_at is not None
        assert began_at - slack <= task.updated_at <= datetime.now(UTC) + slack


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_kills_lose_or_bill_a_task_twice(nodes: Nodes, seed: int) -> None:
    """Nodes are killed at random and started again, while many tasks run."""
    chance = random.Random(seed)  # noqa: S311 - to be repeatable
    running = [await nodes.start() for _ in range(3)]
    await asyncio.gather(*(node.started() for node in running))
    tasks = await nodes.add(60)
    for _ in range(15):
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        place = chance.randrange(len(running))
        await running[place].end(signal.SIGKILL)
        running[place] = await nodes.start()
    ended = await nodes.ended(tasks)
    for node in running:
        await node.end(signal.SIGTERM)

    assert {task.status for task in ended} == {TaskStatus.COMPLETED}
    assert nodes.created == len(tasks)
    ends = [end for node in nodes.all for end in node.ends()]
    assert len(ends) == len(set(ends))
