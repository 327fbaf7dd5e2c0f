"""Takes tasks for this node, renews what it has, and gives it back.

Whoever takes a task raises its `lease` by one. Each later change names the lease (see
`queries.MOVE_TASK`), so a node that was paused or cut off changes nothing after another one has
taken the task. The database's clock alone decides when a lease has run out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from phoenix_compat.tasks.model.clock import Clock, parse_time, stored_time
from phoenix_compat.tasks.model.task import PROGRESS_STARTED, Task, TaskId
from phoenix_compat.tasks.store.database import Row, Transaction
from phoenix_compat.tasks.store.rows import task_from
from phoenix_compat.tasks.store.statements import lease_queries, queue_queries
from phoenix_compat.tasks.store.store import Store
from phoenix_compat.tasks.store.task_reader import tomorrow

LEASE_S: Final = 30.0
"""How long a node has a task without renewing its lease."""
SEEN_WITHIN_S: Final = 30.0
"""A node that was not seen for longer does not count as being there."""
FORGOTTEN_AFTER: Final = timedelta(days=1)


class Node(NamedTuple):
    """This process among those that share the database.

    Attributes:
        id: a new one at each start.
        name: for people: host and process id.
        version: of the program.
        url: where it listens; None if that is not known.
    """

    id: str
    name: str
    version: str
    url: str | None = None


class Account(NamedTuple):
    """What all nodes know of the provider's account.

    Attributes:
        served_owner: the owner whose task was started last.
        state: a JSON object, written by `Pace.dump`.
        now: the database's time.
    """

    served_owner: str
    state: str
    now: datetime


class Pace(Protocol):
    """Decides how many creates may be sent, from what all nodes know of the account."""

    @property
    def passed_over(self) -> Mapping[TaskId, int]:
        """Tasks that others go before, with their places among each other."""
        ...

    def may_create(self) -> bool:
        """Whether a create may be sent now."""
        ...

    def enter(self, task: Task) -> None:
        """A create is sent for this task."""
        ...

    def dump(self) -> str:
        """What all nodes know then."""
        ...


OpenPace = Callable[[Account], Pace]
"""Makes a Pace; called again if the transaction was rolled back."""


class Claimed(NamedTuple):
    """What a node got of the queue.

    Attributes:
        tasks: as they were, and as they are: submitting, with the node's lease.
        others: queued tasks that end before a create: canceled ones, and unreadable ones.
        account: what is known of the account now.
    """

    tasks: Sequence[tuple[Task, Task]]
    others: Sequence[Task]
    account: Account


class Renewal(NamedTuple):
    """What a renewal found.

    Attributes:
        confirmed: tasks that the node has for another `LEASE_S`.
        held: those that no other node has taken; the rest is lost.
        canceled: those of them that a client wants to cancel.
        nodes: how many nodes there are.
        account: what is known of the account; None before any node has joined.
    """

    confirmed: frozenset[TaskId]
    held: frozenset[TaskId]
    canceled: frozenset[TaskId]
    nodes: int
    account: Account | None


class LeaseStore:
    """The leases of one node.

    Args:
        store: any store with the database.
        clock: is used where the database is not shared; else the database's clock is.
    """

    def __init__(self, store: Store, node: Node, clock: Clock, *, lease_s: float = LEASE_S) -> None:
        self.node = node
        self.lease_s = lease_s
        self._store = store
        self._clock = clock

    async def join(self) -> None:
        """Say that this node is there, and forget those that were not seen for a day.

        Raises:
            StoreUnavailableError: nothing was written.
        """

        async def work(transaction: Transaction) -> None:
            if await self._account(transaction, lease_queries.GET_ACCOUNT) is None:
                # Only then: an insert waits for a node that is changing the row, and that one may
                # stand still.
                await transaction.execute(lease_queries.ADD_ACCOUNT, self._times())
            await self._forget(transaction, "")
            await self._see(transaction, 0, is_deaf=False)

        await self._store.database.write(work)

    async def leave(self) -> None:
        """Say that this node has gone. Raises StoreUnavailableError."""
        await self._store.database.write(
            lambda transaction: self._forget(transaction, self.node.id)
        )

    async def claim_due(
        self, limit: int, open_pace: OpenPace, skip: Collection[TaskId] = ()
    ) -> Claimed | None:
        """Take queued tasks whose creates may be sent now, in the order of the queue.

        The owners take turns over all nodes, and so does the pace count: only one node takes tasks
        at a time.

        Args:
            skip: tasks to leave where they are.

        Returns:
            None while another node takes some; try again soon.

        Raises:
            StoreUnavailableError: nothing is known of what was taken; it comes back when the
                lease runs out.
        """

        async def work(transaction: Transaction) -> Claimed | None:
            account = await self._account(transaction, lease_queries.LOCK_ACCOUNT)
            if account is None:
                return None
            pace = open_pace(account)
            wanted: list[Task] = []
            others: list[Task] = []
            if pace.may_create():
                for task in await self._due(transaction, account, pace, limit, skip):
                    if len(wanted) >= limit or not pace.may_create():
                        break
                    if task.is_set_aside or task.is_cancel_requested:
                        others.append(task)
                    else:
                        pace.enter(task)
                        wanted.append(task)
            claimed = await self._claim(transaction, wanted)
            served = claimed[-1][0].owner if claimed else account.served_owner
            return Claimed(
                claimed, others, await self._set_account(transaction, account, pace, served)
            )

        return await self._store.database.write(work)

    async def change_account(self, open_pace: OpenPace) -> Account | None:
        """Record what this node has learned of the account; None while another node does.

        Raises:
            StoreUnavailableError: it may not be recorded.
        """

        async def work(transaction: Transaction) -> Account | None:
            account = await self._account(transaction, lease_queries.LOCK_ACCOUNT)
            if account is None:
                return None
            pace = open_pace(account)
            return await self._set_account(transaction, account, pace, account.served_owner)

        return await self._store.database.write(work)

    async def claim_abandoned(self, limit: int, skip: Collection[TaskId] = ()) -> Sequence[Task]:
        """Take tasks that were begun by a node that has gone or did not renew their leases.

        Args:
            skip: tasks to leave, because they run here: a renewal prolongs their leases.

        Raises:
            StoreUnavailableError: as for `claim_due`.
        """

        params = {
            **self._times(),
            "limit": limit,
            "skip": json.dumps(sorted(skip)),
            "node": self.node.id,
        }
        rows = await self._store.database.write(
            lambda transaction: transaction.rows(lease_queries.TAKE_OVER, params)
        )
        return sorted(map(task_from, rows), key=lambda task: task.number)

    async def renew(
        self, leases: Mapping[TaskId, int], running: int, *, is_deaf: bool = False
    ) -> Renewal:
        """Renew leases, say that this node is there, and see what others have changed.

        Args:
            leases: the lease of each task.
            running: how many tasks this node runs.
            is_deaf: whether it hears nothing from the other nodes.

        Raises:
            StoreUnavailableError: nothing is known of the leases.
        """
        params = {**self._times(), **_held(leases)}

        async def work(transaction: Transaction) -> Renewal:
            held: Sequence[Row] = ()
            confirmed: Sequence[Row] = ()
            if leases:
                confirmed = await transaction.rows(lease_queries.RENEW, params)
                held = await transaction.rows(lease_queries.HELD_TASKS, params)
            await self._see(transaction, running, is_deaf=is_deaf)
            now = await self._now(transaction)
            since = {"since": stored_time(now - timedelta(seconds=SEEN_WITHIN_S))}
            ((nodes,),) = await transaction.rows(lease_queries.COUNT_NODES, since)
            return Renewal(
                confirmed=frozenset(TaskId(row["id"]) for row in confirmed),
                held=frozenset(TaskId(row["id"]) for row in held),
                canceled=frozenset(TaskId(row["id"]) for row in held if row["cancel_requested"]),
                nodes=int(nodes),
                account=await self._account(transaction, lease_queries.GET_ACCOUNT),
            )

        return await self._store.database.write(work)

    async def release(self, leases: Mapping[TaskId, int]) -> None:
        """Let other nodes take these tasks at once. Raises StoreUnavailableError."""
        params = _held(leases)
        if leases:
            await self._store.database.write(
                lambda transaction: transaction.execute(lease_queries.RELEASE, params)
            )

    async def nodes(self) -> Sequence[Row]:
        """All nodes: the columns of `nodes`, the database's `now`, and their `leases`.

        Raises:
            StoreUnavailableError: they cannot be read.
        """
        return await self._store.database.read(lease_queries.LIST_NODES, self._times())

    async def take_role(self, role: str) -> bool:
        """Take a role, or keep it, for `lease_s`; whether this node has it.

        Raises:
            StoreUnavailableError: nothing is known.
        """
        params = {**self._times(), "name": role, "node": self.node.id}
        taken = await self._store.database.write(
            lambda transaction: transaction.execute(lease_queries.TAKE_ROLE, params)
        )
        return taken == 1

    async def drop_role(self, role: str) -> None:
        """Let another node take a role at once. Raises StoreUnavailableError."""
        params = {"name": role, "node": self.node.id}
        await self._store.database.write(
            lambda transaction: transaction.execute(lease_queries.DROP_ROLE, params)
        )

    async def _due(
        self,
        transaction: Transaction,
        account: Account,
        pace: Pace,
        limit: int,
        skip: Collection[TaskId],
    ) -> Sequence[Task]:
        places = pace.passed_over
        params = {
            "now": stored_time(account.now),
            "tomorrow": tomorrow(account.now),
            "served": account.served_owner,
            "limit": limit + len(places) + len(skip),
        }
        due = map(task_from, await transaction.rows(queue_queries.DUE_TASKS, params))
        wanted = [task for task in due if task.id not in skip]
        return sorted(wanted, key=lambda task: places.get(task.id, -1)) if places else wanted

    async def _claim(
        self, transaction: Transaction, wanted: Sequence[Task]
    ) -> Sequence[tuple[Task, Task]]:
        """Take these tasks, as far as nobody has canceled them meanwhile."""
        if not wanted:
            return []
        values = {
            **self._times(),
            "numbers": json.dumps([task.number for task in wanted]),
            "node": self.node.id,
            "progress": PROGRESS_STARTED,
        }
        rows = await transaction.rows(lease_queries.CLAIM_TASKS, values)
        taken = {task.number: task for task in map(task_from, rows)}
        await transaction.execute(
            lease_queries.ADD_CLAIM_EVENTS, {"numbers": json.dumps(sorted(taken))}
        )
        return [(task, taken[task.number]) for task in wanted if task.number in taken]

    async def _account(self, transaction: Transaction, statement: str) -> Account | None:
        for row in await transaction.rows(statement, self._times()):
            return Account(str(row["served_owner"]), str(row["state"]), parse_time(row["now"]))
        return None

    async def _set_account(
        self, transaction: Transaction, account: Account, pace: Pace, served: str
    ) -> Account:
        state = pace.dump()
        if (state, served) != (account.state, account.served_owner):
            values = {"served": served, "state": state, "now": stored_time(account.now)}
            await transaction.execute(lease_queries.SET_ACCOUNT, values)
        return Account(served, state, account.now)

    async def _see(self, transaction: Transaction, running: int, *, is_deaf: bool) -> None:
        values = {
            **self._times(),
            **self.node._asdict(),
            "running": running,
            "deaf": int(is_deaf),
        }
        await transaction.execute(lease_queries.SEE_NODE, values)

    async def _forget(self, transaction: Transaction, node_id: str) -> None:
        since = stored_time(await self._now(transaction) - FORGOTTEN_AFTER)
        params = {"id": node_id, "since": since}
        await transaction.execute(lease_queries.FORGET_NODES, params)

    async def _now(self, transaction: Transaction) -> datetime:
        ((now,),) = await transaction.rows(lease_queries.NOW, self._times())
        return parse_time(now)

    def _times(self) -> dict[str, object]:
        """The times of statements, where the database is not shared."""
        now = self._clock.now()
        until = now + timedelta(seconds=self.lease_s)
        return {"now": stored_time(now), "until": stored_time(until), "lease_s": self.lease_s}


def _held(leases: Mapping[TaskId, int]) -> dict[str, object]:
    held = [f"{task_id}:{lease}" for task_id, lease in leases.items()]
    return {"ids": json.dumps(list(leases)), "held": json.dumps(held)}
