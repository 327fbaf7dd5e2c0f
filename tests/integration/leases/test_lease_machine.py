"""Nodes that claim, pause, renew, take over and write in any order, with the real store.

A node knows only what it has read and its own clock. Whatever the order: no task is billed twice,
no end is told twice, and no write with an old lease changes anything.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.store.leases.lease_store import Account, LeaseStore, Node
from phoenix_compat.tasks.store.opening import open_shared_task_store, open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.dispatch.renewal import STANDARD
from tests.integration.store_contract.engines import POSTGRES_SCHEMA
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA, task_params

T = TypeVar("T")
NAMES: Final = ("a", "b")
A_NODE: Final = st.sampled_from(NAMES)
A_TASK: Final = st.integers(0, 1)


class AnyPace:
    """Admits every create."""

    passed_over: Mapping[TaskId, int] = {}

    def __init__(self, account: Account) -> None:
        self._state = account.state

    def may_create(self) -> bool:
        return True

    def enter(self, task: Task) -> None:
        pass

    def dump(self) -> str:
        return self._state


class Held:
    """What a node knows of a task that it has taken.

    Attributes:
        task: as the node has read it last.
        sure_until_s: until then it may send the create.
        is_claimed: it has taken it from the queue, so it need not look for a prediction.
    """

    def __init__(self, task: Task, sure_until_s: float, *, is_claimed: bool) -> None:
        self.task = task
        self.sure_until_s = sure_until_s
        self.is_claimed = is_claimed


class LeaseMachine(RuleBasedStateMachine):
    """Two nodes, two tasks, and a provider that bills each create."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = Path(tempfile.mkdtemp())
        self._clock = FakeClock()
        self._held: dict[str, dict[TaskId, Held]] = {name: {} for name in NAMES}
        self._seen: list[Task] = []
        self._billed: dict[str, str] = {}
        self._creates: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self._runner.run(work)

    @initialize()
    def open(self) -> None:
        """Open the store, with tasks of two owners."""
        self.store = self.run(self.open_store())
        self._nodes = {
            name: LeaseStore(self.store, Node(name, name, "1"), self._clock) for name in NAMES
        }
        self.run(self._nodes["a"].join())
        for number in range(2):
            params = task_params(prompt=f"monk {number}")
            self.run(self.store.add(params, owner=f"owner-{number % 2}"))

    async def open_store(self) -> TaskStore:
        """A store without tasks."""
        return await open_task_store(self._folder / "tasks.db", SCHEMA, clock=self._clock)

    async def let_leases_age(self, seconds: float) -> None:
        """What the time that passed does to leases in the database; here the clock is ours."""

    def teardown(self) -> None:
        """Close the store."""
        self.run(self.store.close())
        self._runner.close()
        shutil.rmtree(self._folder)

    @property
    def _now_s(self) -> float:
        return self._clock.elapsed_s

    def _pick(self, node: str, place: int, status: TaskStatus) -> Held | None:
        held = [one for one in self._held[node].values() if one.task.status is status]
        return held[place % len(held)] if held else None

    def _keep(self, node: str, tasks: list[Task], *, is_claimed: bool) -> None:
        for task in tasks:
            self._seen.append(task)
            sure_s = self._now_s + STANDARD.sure_s
            self._held[node][task.id] = Held(task, sure_s, is_claimed=is_claimed)

    @rule(seconds=st.sampled_from([6.0, 26.0, 31.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Nobody does anything for a while: some nodes stand still, some are cut off."""
        self._clock.elapsed_s += seconds
        self.run(self.let_leases_age(seconds))

    @rule(node=A_NODE, limit=st.integers(1, 3))
    def claim(self, node: str, limit: int) -> None:
        """Take queued tasks."""
        claimed = self.run(self._nodes[node].claim_due(limit, AnyPace))
        assert claimed is not None
        self._keep(node, [task for _, task in claimed.tasks], is_claimed=True)

    @rule(node=A_NODE)
    def take_over(self, node: str) -> None:
        """Take tasks that nobody has any more; look up the predictions of lost creates.

        A task without a prediction goes back to the queue.
        """
        taken = self.run(self._nodes[node].claim_abandoned(3))
        self._keep(node, list(taken), is_claimed=False)
        for task in taken:
            if task.status is TaskStatus.SUBMITTING:
                self._reconcile(node, self._held[node][task.id])

    @rule(node=A_NODE)
    def renew(self, node: str) -> None:
        """Renew all leases; forget what is lost."""
        held = self._held[node]
        leases = {task_id: one.task.lease for task_id, one in held.items()}
        renewal = self.run(self._nodes[node].renew(leases, len(leases)))
        for task_id in leases.keys() - renewal.held:
            del held[task_id]
        for task_id in renewal.confirmed:
            held[task_id].sure_until_s = self._now_s + STANDARD.sure_s

    @rule(node=A_NODE)
    def stop(self, node: str) -> None:
        """Give all tasks back."""
        leases = {task_id: one.task.lease for task_id, one in self._held[node].items()}
        self.run(self._nodes[node].release(leases))
        self._held[node].clear()

    @rule(node=A_NODE, place=A_TASK)
    def send_create(self, node: str, place: int) -> None:
        """Send the create of a task that it took from the queue, if it may still have it."""
        held = self._pick(node, place, TaskStatus.SUBMITTING)
        if held is None or not held.is_claimed or self._now_s >= held.sure_until_s:
            return
        held.is_claimed = False
        task = held.task
        self._creates[task.id] += 1
        self._billed[task.id] = f"p-{task.number}-{self._creates[task.id]}"

    @rule(node=A_NODE, place=A_TASK)
    def record_create(self, node: str, place: int) -> None:
        """Record the prediction of a create that was sent."""
        held = self._pick(node, place, TaskStatus.SUBMITTING)
        if held is not None and not held.is_claimed:
            self._reconcile(node, held)

    def _reconcile(self, node: str, held: Held) -> None:
        prediction = self._billed.get(held.task.id)
        if prediction is not None:
            self._write(node, held, TaskStatus.RUNNING, prediction_id=prediction)
        else:
            self._write(node, held, TaskStatus.QUEUED)

    @rule(node=A_NODE, place=A_TASK, is_failed=st.booleans())
    def finish(self, node: str, place: int, is_failed: bool) -> None:
        """Record the end of a prediction."""
        held = self._pick(node, place, TaskStatus.RUNNING)
        if held is None:
            return
        if is_failed:
            self._write(node, held, TaskStatus.FAILED, error_data={})
        else:
            self._write(node, held, TaskStatus.COMPLETED, result_data={})

    def _write(self, node: str, held: Held, to: TaskStatus, **changes: Any) -> None:
        moved = self.run(self.store.move(held.task, to, **changes))
        if moved is None or to is TaskStatus.QUEUED or to.is_terminal:
            del self._held[node][held.task.id]
        else:
            held.task = moved
        if moved is not None:
            self._seen.append(moved)
            self._ends[moved.id] += to.is_terminal

    @precondition(lambda self: self._seen)
    @rule(data=st.data())
    def write_with_an_old_lease(self, data: st.DataObject) -> None:
        """Whatever a node knew once: if the lease is an old one, nothing changes."""
        old = data.draw(st.sampled_from(self._seen))
        before = self.run(self.store.get(old.id))
        assert before is not None
        if before.lease == old.lease:
            return
        if old.status is TaskStatus.RUNNING:
            assert self.run(self.store.record_progress(old, 0.9)) is None
        if not old.status.is_terminal:
            assert self.run(self.store.move(old, TaskStatus.FAILED, error_data={})) is None
        broken = msgspec.structs.replace(old, unreadable=("type",))
        assert self.run(self.store.set_aside(broken)) is None
        for node in self._nodes.values():
            renewal = self.run(node.renew({old.id: old.lease}, 1))
            assert not renewal.held
        assert self.run(self.store.get(old.id)) == before

    @invariant()
    def nothing_is_billed_or_told_twice(self) -> None:
        """The promise."""
        assert all(count == 1 for count in self._creates.values())
        assert all(count <= 1 for count in self._ends.values())


class PostgresLeaseMachine(LeaseMachine):
    """The same on PostgreSQL, whose clock cannot be set: instead the leases grow older.

    Attributes:
        url: of a database; its tables are emptied for each run.
    """

    url = ""

    async def open_store(self) -> TaskStore:
        """See LeaseMachine."""
        store = await open_shared_task_store(self.url, POSTGRES_SCHEMA, clock=self._clock)
        await self._sql("TRUNCATE tasks, provider_state, nodes, roles, spending CASCADE")
        return store

    async def let_leases_age(self, seconds: float) -> None:
        """See LeaseMachine."""
        await self._sql(
            f"UPDATE tasks SET lease_until = lease_until - make_interval(secs => {seconds})"  # noqa: S608 - a number
        )

    async def _sql(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(statement)
        await connection.close()


@pytest.mark.long
def test_leases_on_postgresql(postgres_url: str) -> None:
    """With the statements of that engine, and its clock."""

    class Here(PostgresLeaseMachine):
        url = postgres_url

    run_state_machine_as_test(
        Here,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
    )


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
