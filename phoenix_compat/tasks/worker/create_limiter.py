"""Limits how fast creates are sent: a rate, what 429 answers teach about it, and the breaker.

One per provider account, because the provider's limits are per account. Nothing here waits: it says
how long to wait, and the dispatcher does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.worker.circuit_breaker import BreakerState, CircuitBreaker
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.token_bucket import TokenBucket

MARGIN = 0.95
"""The share of a learned limit that is used: creates do not arrive as evenly as they are sent."""
SLOWEST_PER_S = 0.1
RECOVERY = 1.1
FIRST_CALM_S = 60.0
CALM_LIMIT_S = 3_600.0
SAME_BURST_S = 1.0
"""Creates that were sent together are refused together: that counts once."""
SUCCESSES_BEFORE_OVERLAP = 10
"""After so many successes in a row creates may overlap; before, one shows if there is a limit."""
OVERLAP_AFTER_S = 2.0
"""A create that takes longer than this delays no other."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """The provider as operators see it.

    Attributes:
        circuit: closed, open or half_open.
        reason: the code of what opened the circuit; None when it is closed.
        open_s: for how long nothing has worked.
        creates_per_minute: the rate in use, learned or as set.
        is_reduced: whether the provider asked for a lower rate than the one that is set.
    """

    circuit: BreakerState
    reason: str | None
    open_s: float
    creates_per_minute: float
    is_reduced: bool


class CreateLimiter:
    """Says when the next create may be sent, and learns from how each one ended."""

    def __init__(self, clock: Clock, options: WorkerOptions) -> None:
        self._options = options
        self._now = clock.monotonic
        self._full_per_s = options.creates_per_s
        self._full_burst = options.create_burst
        self._bucket = TokenBucket(self._full_per_s, self._full_burst, self._now)
        self.breaker = CircuitBreaker(options.breaker, self._now)
        self._in_flight: dict[int, float] = {}
        self._held: set[int] = set()
        self._tickets = 0
        self._successes_in_a_row = 0
        self._throttled_in_a_row = 0
        self._learned_at_s = -math.inf
        self._calm_s = FIRST_CALM_S

    @property
    def state(self) -> ProviderState:
        """The provider as operators see it."""
        return ProviderState(
            circuit=self.breaker.state,
            reason=self.breaker.reason,
            open_s=self.breaker.open_s,
            creates_per_minute=self._bucket.per_s * 60.0,
            is_reduced=self._bucket.per_s < self._full_per_s,
        )

    def wait_s(self) -> float:
        """Seconds until a create may be sent; infinite until one that is held is queued again."""
        if self._held:
            return math.inf
        return max(self._bucket.wait_s(), self.breaker.wait_s(), self._overlap_wait_s())

    def enter(self) -> int:
        """Admit a create; its ticket is returned with `leave`."""
        self._bucket.take()
        self.breaker.enter()
        self._tickets += 1
        self._in_flight[self._tickets] = self._now()
        return self._tickets

    def hold(self, ticket: int) -> None:
        """This create goes back to its place in the queue; until it is there no other may pass."""
        self._held.add(ticket)

    def leave(self, ticket: int) -> None:
        """A create is over, or was never sent; returning a ticket twice does nothing."""
        self._held.discard(ticket)
        if self._in_flight.pop(ticket, None) is not None:
            self.breaker.withdraw()

    def succeeded(self) -> None:
        """A create was accepted; some time after a 429 a reduced rate rises again step by step."""
        self.answered()
        self._successes_in_a_row += 1
        self._throttled_in_a_row = 0
        is_calm = self._now() - self._learned_at_s >= self._calm_s
        if not is_calm or self._bucket.per_s >= self._full_per_s:
            return
        per_s = min(self._bucket.per_s * RECOVERY, self._full_per_s)
        if per_s >= self._full_per_s:
            self._calm_s = FIRST_CALM_S
            self._bucket.set_rate(per_s, self._full_burst)
            log.info("creates.rate_restored", per_minute=round(per_s * 60.0, 1))
        else:
            self._bucket.set_rate(per_s, 1.0)

    def answered(self) -> None:
        """A create was refused because of its input, so the provider is available."""
        self.breaker.succeeded()

    def failed(self, reason: str) -> bool:
        """A create was refused for the account, or did not connect; see `CircuitBreaker.failed`."""
        return self.breaker.failed(reason)

    def throttled(self, error: ProviderThrottledError, jitter: float) -> None:
        """The provider answered 429: wait, then go on at the rate it allows, or at half of ours.

        Args:
            jitter: from 0.0 to 1.0; lengthens the wait by up to a tenth.
        """
        self.answered()
        self._successes_in_a_row = 0
        self._throttled_in_a_row += 1
        # A provider that asks for no wait gets one after repeated 429s all the same.
        asked_s = max(error.retry_after_s, self._options.retry_wait_s(self._throttled_in_a_row))
        wait_s = asked_s * (1.0 + 0.1 * jitter)
        self._bucket.shut_for(wait_s)
        now_s = self._now()
        if now_s - self._learned_at_s < SAME_BURST_S:
            return
        is_first = self._bucket.per_s >= self._full_per_s
        self._learned_at_s = now_s
        self._calm_s = FIRST_CALM_S if is_first else min(self._calm_s * 2.0, CALM_LIMIT_S)
        if isinstance(error, RateReducedError):
            per_s, burst = error.per_minute / 60.0 * MARGIN, float(error.burst)
        else:
            per_s, burst = self._bucket.per_s / 2.0, 1.0
        per_s = min(max(per_s, min(SLOWEST_PER_S * MARGIN, self._full_per_s)), self._full_per_s)
        self._bucket.set_rate(per_s, min(burst, self._full_burst))
        log.warning(
            "creates.rate_reduced", per_minute=round(per_s * 60.0, 1), wait_s=round(wait_s, 1)
        )

    def _overlap_wait_s(self) -> float:
        if self._successes_in_a_row >= SUCCESSES_BEFORE_OVERLAP or not self._in_flight:
            return 0.0
        newest_s = max(self._in_flight.values())
        return max(newest_s + OVERLAP_AFTER_S - self._now(), 0.0)
