"""Limits how fast creates are sent: by a rate, which 429 answers lower, and by the circuit breaker.

There is one per provider account, because the provider's limits are per account. It has no timer:
it tells the dispatcher how long to wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.token_bucket import TokenBucket
from phoenix_compat.tasks.worker.circuit_breaker import BreakerState, CircuitBreaker
from phoenix_compat.tasks.worker.options import WorkerOptions

MARGIN = 0.95
"""The share of a learned limit that is used: creates do not arrive as evenly as they are sent."""
SLOWEST_PER_S = 0.1
RECOVERY_FACTOR = 1.1
FIRST_COOLDOWN_S = 60.0
COOLDOWN_LIMIT_S = 3_600.0
SAME_BURST_S = 1.0
"""Creates that are sent together are refused together: 429s this close to each other count once."""
SUCCESSES_BEFORE_OVERLAP = 10
"""Until this many creates in a row have succeeded, they are sent one at a time."""
OVERLAP_AFTER_S = 2.0
"""A create that takes longer than this no longer delays the next one."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """The provider as operators see it.

    Attributes:
        circuit: closed, open or half_open.
        reason: the error code that opened the circuit; None when it is closed.
        open_s: how long the circuit has not been closed, in seconds.
        creates_per_minute: the rate in use, as configured or as learned from 429 answers.
        full_per_minute: the configured rate.
        is_reduced: whether the rate in use is lower than that.
    """

    circuit: BreakerState
    reason: str | None
    open_s: float
    creates_per_minute: float
    full_per_minute: float
    is_reduced: bool


class CreateLimiter:
    """Decides when the next create may be sent, and adapts to how earlier ones ended."""

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
        self._cooldown_s = FIRST_COOLDOWN_S

    @property
    def state(self) -> ProviderState:
        """The provider as operators see it."""
        return ProviderState(
            circuit=self.breaker.state,
            reason=self.breaker.reason,
            open_s=self.breaker.open_s,
            creates_per_minute=self._bucket.per_s * 60.0,
            full_per_minute=self._full_per_s * 60.0,
            is_reduced=self._bucket.per_s < self._full_per_s,
        )

    def wait_s(self) -> float:
        """Seconds until a create may be sent; infinite while one is held."""
        if self._held:
            return math.inf
        return max(self._bucket.wait_s(), self.breaker.wait_s(), self._overlap_wait_s())

    def enter(self) -> int:
        """Admit a create; pass the returned ticket to `leave` when it is over."""
        self._bucket.take()
        self.breaker.enter()
        self._tickets += 1
        self._in_flight[self._tickets] = self._now()
        return self._tickets

    def hold(self, ticket: int) -> None:
        """Admit no other create until this one is back in the queue, so that none overtakes it."""
        self._held.add(ticket)

    def leave(self, ticket: int) -> None:
        """Record that a create is over or was never sent; a second call does nothing."""
        self._held.discard(ticket)
        if self._in_flight.pop(ticket, None) is not None:
            self.breaker.withdraw()

    def succeeded(self) -> None:
        """Record an accepted create; after a cooldown it raises a reduced rate by one step."""
        self.answered()
        self._successes_in_a_row += 1
        self._throttled_in_a_row = 0
        has_cooled_down = self._now() - self._learned_at_s >= self._cooldown_s
        if not has_cooled_down or self._bucket.per_s >= self._full_per_s:
            return
        per_s = min(self._bucket.per_s * RECOVERY_FACTOR, self._full_per_s)
        if per_s >= self._full_per_s:
            self._cooldown_s = FIRST_COOLDOWN_S
            self._bucket.set_rate(per_s, self._full_burst)
            log.info("creates.rate_restored", per_minute=round(per_s * 60.0, 1))
        else:
            self._bucket.set_rate(per_s, 1.0)

    def answered(self) -> None:
        """Record an answer that shows that the provider and the account work."""
        self.breaker.succeeded()

    def failed(self, reason: str) -> bool:
        """Record a refused account or an unavailable provider; see `CircuitBreaker.failed`."""
        return self.breaker.failed(reason)

    def throttled(self, error: ProviderThrottledError, jitter: float) -> None:
        """Record a 429 answer: pause, then continue at the rate it names, or at half of ours.

        Args:
            jitter: from 0.0 to 1.0; lengthens the wait by up to a tenth.
        """
        self.answered()
        self._successes_in_a_row = 0
        self._throttled_in_a_row += 1
        # Even if the provider asks for no wait, repeated 429s make the waits longer.
        asked_s = max(error.retry_after_s, self._options.retry_wait_s(self._throttled_in_a_row))
        wait_s = asked_s * (1.0 + 0.1 * jitter)
        self._bucket.shut_for(wait_s)
        now_s = self._now()
        if now_s - self._learned_at_s < SAME_BURST_S:
            return
        is_first = self._bucket.per_s >= self._full_per_s
        self._learned_at_s = now_s
        self._cooldown_s = (
            FIRST_COOLDOWN_S if is_first else min(self._cooldown_s * 2.0, COOLDOWN_LIMIT_S)
        )
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
