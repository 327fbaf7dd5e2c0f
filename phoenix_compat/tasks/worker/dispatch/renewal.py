"""Renews the leases of a node, and stops the runs of tasks that another node has taken.

It has a background task of its own, so that nothing that the worker does delays it. While leases
cannot be renewed, runs go on: they follow their predictions and keep the results in memory, one for
each run, until they can be recorded. Only creates are held back as soon as another node may have
the task.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.clock import elapsed_s
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task import TaskId
from phoenix_compat.tasks.store.leases.lease_store import LEASE_S, Account, LeaseStore
from phoenix_compat.tasks.worker.dispatch.runs import Runs

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseOptions:
    """The times of leases.

    Attributes:
        lease_s: how long a task is a node's without a renewal.
        sure_s: a node is sure of a task for so long after it sent the renewal. It is shorter than
            `lease_s`, which begins later, when the database has got the renewal.
        first_renewal_s: the time before the first renewal, which says where the node listens.
        renew_every_s: the time between renewals.
        retry_every_s: the same after one that failed.
        renew_patience_s: how long a renewal may take.
        look_every_s: how often the node looks for tasks that no node has any more, and for queued
            tasks of which nobody told it.
    """

    lease_s: float = LEASE_S
    sure_s: float = 25.0
    first_renewal_s: float = 1.0
    renew_every_s: float = 10.0
    retry_every_s: float = 2.0
    renew_patience_s: float = 8.0
    look_every_s: float = 5.0


STANDARD: Final = LeaseOptions()


class LeaseRenewal:
    """Renews the leases of all runs.

    Attributes:
        background: renews as long as it runs.
        failures: how many renewals in a row have failed.
        nodes: how many nodes there are.
        is_deaf: whether this node hears nothing from the others; the server sets it.
    """

    def __init__(
        self,
        leases: LeaseStore,
        runs: Runs,
        options: LeaseOptions,
        on_account: Callable[[Account], Awaitable[None]],
    ) -> None:
        self.background = BackgroundTask("leases", self._run)
        self.failures = 0
        self.nodes = 1
        self.is_deaf: Callable[[], bool] = lambda: False
        self._leases = leases
        self._runs = runs
        self._options = options
        self._on_account = on_account

    @property
    def _counts(self) -> Counter[str]:
        return self._runs.context.counts

    async def _run(self) -> None:
        options = self._options
        await asyncio.sleep(options.first_renewal_s)
        while True:
            await self.renew()
            has_failed = self.failures > 0
            await asyncio.sleep(options.retry_every_s if has_failed else options.renew_every_s)

    async def renew(self) -> None:
        """Renew all leases once."""
        leases = self._runs.leases
        sent_s = elapsed_s()
        try:
            async with asyncio.timeout(self._options.renew_patience_s):
                renewal = await self._leases.renew(leases, len(self._runs), is_deaf=self.is_deaf())
        except (StoreUnavailableError, TimeoutError) as error:
            self.failures += 1
            self._counts["renewals_failed"] += 1
            log.warning("leases.not_renewed", failures=self.failures, reason=str(error))
            return
        if self.failures:
            log.info("leases.renewed", failures=self.failures, leases=len(renewal.confirmed))
        self.failures = 0
        for task_id in renewal.confirmed:
            if (run := self._runs.of(task_id)) is not None:
                run.renew(sent_s + self._options.sure_s)
        for task_id in leases.keys() - renewal.held:
            self._lose(task_id, leases[task_id])
        for task_id in renewal.canceled:
            if (run := self._runs.of(task_id)) is not None:
                run.wake.set()
        self._share_polls(renewal.nodes)
        if renewal.account is not None:
            await self._on_account(renewal.account)

    def _lose(self, task_id: TaskId, lease: int) -> None:
        run = self._runs.of(task_id)
        if run is not None and run.lease == lease:
            self._counts["leases_lost"] += 1
            log.info("lease.lost", task_id=task_id)
            self._runs.end(task_id)

    def _share_polls(self, nodes: int) -> None:
        """Use this node's share of the requests that are not creates."""
        if nodes != self.nodes and nodes > 0:
            self.nodes = nodes
            context = self._runs.context
            per_s = context.options.polls_per_s / nodes
            context.polls.set_rate(per_s, max(per_s, 1.0))
