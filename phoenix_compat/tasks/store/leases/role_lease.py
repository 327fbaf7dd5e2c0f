"""Lets one node at a time do a job for all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.clock import elapsed_s
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore

log = structlog.stdlib.get_logger(__name__)


class Job(Protocol):
    """What one node does for all."""

    def start(self) -> None:
        """Begin, unless it has begun."""
        ...

    async def stop(self) -> None:
        """End, and wait for the end."""
        ...


class RoleLease:
    """Runs a job as long as this node has its role, and takes the role when no node has it.

    Where the role cannot be renewed, the job is stopped before another node takes it. Still, two
    nodes may do it for a moment, when one of them stands still; so a job must bear that.

    Args:
        name: the role: "maintenance".
        sure_s: the job runs for so long after the last renewal was sent. It is shorter than the
            lease of the store.
        renew_every_s: how often the role is renewed, or asked for.

    Attributes:
        background: asks for the role and renews it.
        has_role: whether the job runs here.
    """

    def __init__(  # noqa: PLR0913 - its times have defaults
        self,
        leases: LeaseStore,
        name: str,
        job: Job,
        *,
        sure_s: float = 25.0,
        renew_every_s: float = 10.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.has_role = False
        self.background = BackgroundTask(f"role-{name}", self._run)
        self._leases = leases
        self._name = name
        self._job = job
        self._sure_s = sure_s
        self._renew_every_s = renew_every_s
        self._jitter = jitter
        self._sure_until_s = 0.0

    def start(self) -> None:
        """Ask for the role from now on."""
        self.background.start()

    async def stop(self) -> None:
        """Stop the job, and let another node do it at once."""
        await self.background.stop()
        had_role = self.has_role
        await self._end()
        if had_role:
            try:
                await self._leases.drop_role(self._name)
            except StoreUnavailableError as error:
                log.warning("role.not_dropped", role=self._name, reason=str(error))

    async def _run(self) -> None:
        while True:
            sent_s = elapsed_s()
            left_s = max(self._sure_until_s - sent_s, 0.0) if self.has_role else self._sure_s
            try:
                async with asyncio.timeout(left_s):
                    is_ours = await self._leases.take_role(self._name)
            except (StoreUnavailableError, TimeoutError) as error:
                log.warning("role.not_renewed", role=self._name, reason=str(error))
                is_ours = self.has_role and elapsed_s() < self._sure_until_s
            else:
                self._sure_until_s = sent_s + self._sure_s
            if is_ours and not self.has_role:
                log.info("role.taken", role=self._name)
                self.has_role = True
                self._job.start()
            elif not is_ours:
                await self._end()
            await asyncio.sleep(self._wait_s())

    def _wait_s(self) -> float:
        wait_s = self._renew_every_s * (0.8 + 0.2 * self._jitter())
        if not self.has_role:
            return wait_s
        return max(min(wait_s, self._sure_until_s - elapsed_s()), 0.01)

    async def _end(self) -> None:
        if self.has_role:
            self.has_role = False
            log.info("role.ended", role=self._name)
            await self._job.stop()
