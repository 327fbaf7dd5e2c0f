"""The limits of creates for a provider's account that several nodes use.

What is known of the account is one row of the database, with the times of its clock. Each node
decides by this row, in the transaction in which it takes tasks: so together they send creates as
fast as one of them would, and a 429 that one of them gets slows all of them down. In between, each
node has a copy to look at.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

import msgspec
import structlog

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import ProviderThrottledError, StoreUnavailableError
from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.store.leases.lease_store import Account, Claimed, LeaseStore, OpenPace
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, BreakerState
from phoenix_compat.tasks.worker.limits.create_limiter import (
    SUCCESSES_BEFORE_OVERLAP,
    CreateLimiter,
    LimiterMemory,
)
from phoenix_compat.tasks.worker.options import WorkerOptions

Change: TypeAlias = Callable[[CreateLimiter], object]

MAX_PENDING: Final = 200
"""Reports that wait for the database; beyond that the oldest is dropped and counted."""
_BUSY_TRIES: Final = 20
_BUSY_WAIT_S: Final = 0.01

log = structlog.stdlib.get_logger(__name__)


class AccountPace:
    """The row of the account inside of a transaction. See `lease_store.Pace`.

    Args:
        changes: what this node has to report.
        passed_over: tasks whose create failed while the circuit was open, the latest last.
    """

    def __init__(
        self,
        limiter: CreateLimiter,
        account: Account,
        changes: tuple[Change, ...],
        passed_over: Mapping[TaskId, None],
    ) -> None:
        self._limiter = limiter
        limiter.load(memory_of(account.state))
        for change in changes:
            change(limiter)
        self._passed_over = dict(passed_over)

    @property
    def passed_over(self) -> Mapping[TaskId, int]:
        """See `lease_store.Pace`; nobody is passed over while the circuit is closed."""
        if self._limiter.breaker.reason is None:
            return {}
        return {task_id: place for place, task_id in enumerate(self._passed_over)}

    def may_create(self) -> bool:
        """See `lease_store.Pace`."""
        return self._limiter.wait_s() <= 0.0

    def enter(self, task: Task) -> None:
        """See `lease_store.Pace`."""
        self._limiter.enter()

    def dump(self) -> str:
        """See `lease_store.Pace`."""
        return msgspec.json.encode(self._limiter.dump()).decode()


class SharedCreateLimiter(CreateLimiter):
    """This node's copy of the account's limits, and its reports. See CreateReports.

    Args:
        counts: gets `reports_dropped`.
    """

    def __init__(
        self,
        clock: Clock,
        options: WorkerOptions,
        leases: LeaseStore,
        counts: Counter[str],
        failed_probes: Mapping[TaskId, None],
    ) -> None:
        super().__init__(clock, options, lambda: clock.now().timestamp())
        self._clock = clock
        self._leases = leases
        self._counts = counts
        self._failed_probes = failed_probes
        self._pending: deque[Change] = deque()
        self._probe: int | None = None
        self._one_at_a_time = asyncio.Lock()

    def admitted(self, account: Account) -> int:
        """A ticket for a create that the row has admitted."""
        was_probe = self.breaker.state is BreakerState.HALF_OPEN
        self._tickets += 1
        self._in_flight[self._tickets] = account.now.timestamp()
        if was_probe:
            self._probe = self._tickets
        return self._tickets

    def leave(self, ticket: int) -> None:
        """See CreateLimiter; a probe that was not sent after all is reported."""
        self._held.discard(ticket)
        if self._in_flight.pop(ticket, None) is not None and ticket == self._probe:
            self._probe = None
            self._later(lambda limiter: limiter.breaker.withdraw())

    def copy(self, account: Account) -> None:
        """Take over what all nodes know."""
        self.load(memory_of(account.state))

    async def claim(self, limit: int, skip: Collection[TaskId]) -> Claimed | None:
        """Take tasks whose creates the account admits; see `LeaseStore.claim_due`."""
        async with self._one_at_a_time:
            changes = tuple(self._pending)
            claimed = await self._leases.claim_due(limit, self._pace_with(changes), skip)
            if claimed is not None:
                self._take_over(changes, claimed.account)
            return claimed

    async def flush(self) -> None:
        """Record the reports; what the database does not take now goes with the next claim."""
        async with self._one_at_a_time:
            for _ in range(_BUSY_TRIES):
                changes = tuple(self._pending)
                if not changes:
                    return
                try:
                    account = await self._leases.change_account(self._pace_with(changes))
                except StoreUnavailableError as error:
                    log.warning("account.not_reported", reports=len(changes), reason=str(error))
                    return
                if account is not None:
                    self._take_over(changes, account)
                    return
                await asyncio.sleep(_BUSY_WAIT_S)

    async def report_succeeded(self) -> None:
        """See `CreateReports.succeeded`."""
        self._probe = None
        is_news = (
            self._successes_in_a_row < SUCCESSES_BEFORE_OVERLAP
            or self._throttled_in_a_row > 0
            or self.state.is_reduced
            or self.breaker.state is not BreakerState.CLOSED
            or self.breaker.dump().failures > 0
        )
        if is_news:
            self.succeeded()
            self._later(lambda limiter: limiter.succeeded())
            await self.flush()

    async def report_answered(self) -> None:
        """See `CreateReports.answered`."""
        self._probe = None
        self.answered()
        self._later(lambda limiter: limiter.answered())
        await self.flush()

    async def report_failed(self, reason: str) -> bool:
        """See `CreateReports.failed`."""
        self._probe = None
        must_wait: list[bool] = [self.failed(reason)]
        self._later(lambda limiter: must_wait.append(limiter.failed(reason)))
        await self.flush()
        return must_wait[-1]

    async def report_throttled(self, error: ProviderThrottledError, jitter: float) -> None:
        """See `CreateReports.throttled`."""
        self._probe = None
        self.throttled(error, jitter)
        self._later(lambda limiter: limiter.throttled(error, jitter))
        await self.flush()

    def account_refused(self) -> None:
        """See CreateReports; it is recorded with the next claim."""
        self.failed(ACCOUNT)
        self._later(lambda limiter: limiter.failed(ACCOUNT))

    def _pace_with(self, changes: tuple[Change, ...]) -> OpenPace:
        def open_pace(account: Account) -> AccountPace:
            now_s = account.now.timestamp()
            limiter = CreateLimiter(self._clock, self._options, lambda: now_s, is_quiet=True)
            return AccountPace(limiter, account, changes, self._failed_probes)

        return open_pace

    def _take_over(self, changes: tuple[Change, ...], account: Account) -> None:
        for _ in range(min(len(changes), len(self._pending))):
            self._pending.popleft()
        self.copy(account)

    def _later(self, change: Change) -> None:
        self._pending.append(change)
        if len(self._pending) > MAX_PENDING:
            self._pending.popleft()
            self._counts["reports_dropped"] += 1


class SharedReports:
    """Passes the reports of runs on to a SharedCreateLimiter. See CreateReports."""

    def __init__(self, limiter: SharedCreateLimiter) -> None:
        self.succeeded = limiter.report_succeeded
        self.answered = limiter.report_answered
        self.failed = limiter.report_failed
        self.throttled = limiter.report_throttled
        self.account_refused = limiter.account_refused


def memory_of(state: str) -> LimiterMemory:
    """What a row remembers; what cannot be read counts as nothing."""
    try:
        return msgspec.json.decode(state, type=LimiterMemory)
    except msgspec.MsgspecError:
        log.warning("account.unreadable")
        return LimiterMemory()
