"""Takes the tasks of a store that several nodes share, each for a limited time. See Claims."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.model.clock import elapsed_s
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.leases.lease_store import Account, Claimed, LeaseStore
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.dispatch.claims import MIN_WAIT_S
from phoenix_compat.tasks.worker.dispatch.own_claims import fail_overdue_tasks
from phoenix_compat.tasks.worker.dispatch.renewal import LeaseOptions, LeaseRenewal
from phoenix_compat.tasks.worker.dispatch.runs import Runs
from phoenix_compat.tasks.worker.limits.shared_limiter import SharedCreateLimiter
from phoenix_compat.tasks.worker.run_state import TaskRun

MAX_AT_ONCE: Final = 16
"""The most tasks that are taken in one transaction."""
BUSY_WAIT_S: Final = 0.005
"""How long to wait, on average, while another node takes tasks; it doubles with each time."""
BUSY_WAIT_LIMIT_S: Final = 0.08

log = structlog.stdlib.get_logger(__name__)


class LeasedClaims:
    """The tasks that this node has taken, with leases.

    Attributes:
        renewal: renews them.
    """

    def __init__(
        self,
        store: TaskStore,
        leases: LeaseStore,
        runs: Runs,
        options: LeaseOptions,
    ) -> None:
        limiter = runs.context.create_limiter
        if not isinstance(limiter, SharedCreateLimiter):
            raise TypeError("the worker's context was made without leases")
        self.renewal = LeaseRenewal(leases, runs, options, self._note_account)
        self._store = store
        self._leases = leases
        self._runs = runs
        self._limiter = limiter
        self._options = options
        self._look_at_s = -math.inf
        self._busy_times = 0
        self._late: asyncio.Task[Claimed | None] | None = None

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """See Claims."""
        return (self.renewal.background,)

    async def start(self) -> None:
        """Say that this node is there, and begin to renew."""
        await self._leases.join()
        self.renewal.background.start()

    async def recover(self) -> None:
        """What was taken and has no run comes back when its lease runs out."""
        self._look_at_s = -math.inf

    async def stop(self) -> None:
        """Let other nodes go on at once with what this one has begun."""
        await self.renewal.background.stop()
        await self._give_late_claims_back()
        try:
            await self._leases.release(self._runs.given_up)
            await self._leases.leave()
        except StoreUnavailableError as error:
            log.warning("leases.not_released", reason=str(error))

    async def start_due(self) -> float | None:
        """Take over what other nodes have left, then take queued tasks. See Claims."""
        now_s = elapsed_s()
        if now_s >= self._look_at_s:
            await self._take_over()
            await fail_overdue_tasks(self._store, self._runs)
            jitter = self._runs.context.jitter()
            self._look_at_s = now_s + self._options.look_every_s * (0.8 + 0.4 * jitter)
        if self._runs.free_slots <= 0 or self._limiter.is_held:
            return self._until_look_s
        limit = min(self._runs.free_slots, MAX_AT_ONCE)
        sent_s = elapsed_s()
        claimed = await self._claim(limit)
        if claimed is None:
            self._busy_times += 1
            wait_s = min(BUSY_WAIT_S * 2.0 ** min(self._busy_times, 10), BUSY_WAIT_LIMIT_S)
            return wait_s * (0.5 + self._runs.context.jitter())
        self._busy_times = 0
        self._store.served_owner = claimed.account.served_owner
        for _, task in claimed.tasks:
            run = TaskRun(
                is_resumed=False,
                is_claimed=True,
                ticket=self._limiter.admitted(claimed.account),
                lease=task.lease,
                sure_until_s=sent_s + self._options.sure_s,
            )
            await self._begin(task, run)
        await self._end(claimed.others)
        if self._runs.free_slots <= 0:
            return self._until_look_s
        if len(claimed.tasks) >= limit:
            return MIN_WAIT_S
        return await self._wait_s()

    async def _claim(self, limit: int) -> Claimed | None:
        if self._limiter.breaker.reason is None:
            self._runs.context.failed_probes.clear()
        # What has a run here is just being put back.
        skip = self._runs.ids | self._runs.abandoned.keys()
        claim = asyncio.create_task(self._limiter.claim(limit, skip), name="claim")
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            self._late = claim  # it is carried out nevertheless
            raise

    async def _give_late_claims_back(self) -> None:
        """Put tasks that were taken while the worker was stopping back into the queue."""
        if self._late is None:
            return
        try:
            claimed = await self._late
            for before, task in () if claimed is None else claimed.tasks:
                await self._store.move(
                    task,
                    TaskStatus.QUEUED,
                    attempts=before.attempts,
                    submitted_at=before.submitted_at,
                    not_before=before.not_before,
                )
        except TaskError as error:
            log.warning("claims.not_given_back", reason=str(error))

    @property
    def _until_look_s(self) -> float:
        return max(self._look_at_s - elapsed_s(), MIN_WAIT_S)

    async def _note_account(self, account: Account) -> None:
        """Take over what a renewal has read of the account."""
        self._store.served_owner = account.served_owner
        self._limiter.copy(account)
        await self._limiter.flush()

    async def _take_over(self) -> None:
        """Go on with what no node has any more, also beyond `concurrency`.

        It is paid for, and its clients wait; the node takes no queued tasks meanwhile.
        """
        while (places := self._runs.concurrency + self._runs.free_slots) > 0:
            limit = min(places, MAX_AT_ONCE)
            if await self._take_some_over(limit) < limit:
                return

    async def _take_some_over(self, limit: int) -> int:
        sent_s = elapsed_s()
        skip = self._runs.ids | self._runs.abandoned.keys()
        tasks = await self._leases.claim_abandoned(limit, skip)
        for task in tasks:
            self._runs.context.counts["takeovers"] += 1
            log.info("task.taken_over", task_id=task.id, lease=task.lease)
            run = TaskRun(
                is_resumed=True, lease=task.lease, sure_until_s=sent_s + self._options.sure_s
            )
            await self._begin(task, run)
        return len(tasks)

    async def _begin(self, task: Task, run: TaskRun) -> None:
        if task.is_set_aside:
            await self._runs.set_aside(task)
        else:
            await self._runs.begin(task, run)

    async def _end(self, others: Sequence[Task]) -> None:
        """End queued tasks before a create: canceled ones, and unreadable ones."""
        for task in others:
            if task.is_set_aside:
                await self._runs.set_aside(task)
            elif task.id not in self._runs:
                await self._runs.begin(task, TaskRun(is_resumed=False, lease=task.lease))

    async def _wait_s(self) -> float:
        """How long until a queued task may start, of which nobody need tell this node."""
        waits = [self._until_look_s]
        if (pace_s := self._limiter.wait_s()) > 0.0:
            waits.append(pace_s)
        next_due = await self._store.next_due()
        if next_due is not None:
            waits.append((next_due - self._runs.context.clock.now()).total_seconds())
        return max(min(waits), MIN_WAIT_S)
