"""Limits how fast creates are sent: by a rate, which 429 answers lower, and by the circuit breaker.

There is one per provider account, because the provider's limits are per account. It has no timer:
it tells the dispatcher how long to wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.token_bucket import TokenBucket
from phoenix_compat.tasks.worker.circuit_breaker import BreakerMemory, BreakerState, CircuitBreaker
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


class LimiterMemory(msgspec.Struct, omit_defaults=True):
    """What a limiter remembers; times are those of its clock.

    Attributes:
        per_s, burst: the rate in use; None for the configured one.
        level, level_at_s: see `TokenBucket.filled`; None for a full bucket.
        newest_s: when the newest create was sent whose end is not known.
        learned_at_s: when the rate was reduced last.
    """

    per_s: float | None = None
    burst: float | None = None
    level: float | None = None
    level_at_s: float = 0.0
    newest_s: float | None = None
    successes_in_a_row: int = 0
    throttled_in_a_row: int = 0
    learned_at_s: float | None = None
    cooldown_s: float = FIRST_COOLDOWN_S
    breaker: BreakerMemory = msgspec.field(default_factory=BreakerMemory)


class CreateLimiter:
    """Decides when the next create may be sent, and adapts to how earlier ones ended.

    Args:
        now: the clock for it, in seconds; that of `clock` which never goes back by default.
        is_quiet: whether it logs nothing.
    """

    def __init__(
        self,
        clock: Clock,
        options: WorkerOptions,
        now: Callable[[], float] | None = None,
        *,
        is_quiet: bool = False,
    ) -> None:
        self._options = options
        self._now = now or clock.monotonic
        self._full_per_s = options.creates_per_s
        self._full_burst = options.create_burst
        self._bucket = TokenBucket(self._full_per_s, self._full_burst, self._now)
        self.breaker = CircuitBreaker(options.breaker, self._now, is_quiet=is_quiet)
        self._in_flight: dict[int, float] = {}
        self._held: set[int] = set()
        self._tickets = 0
        self._successes_in_a_row = 0
        self._throttled_in_a_row = 0
        self._learned_at_s = -math.inf
        self._cooldown_s = FIRST_COOLDOWN_S
        self._newest_elsewhere_s = -math.inf
        self._is_quiet = is_quiet

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

    @property
    def is_held(self) -> bool:
        """Whether a create is being put back into the queue; see `hold`."""
        return bool(self._held)

    def dump(self) -> LimiterMemory:
        """What it remembers, for the limiter of another process with the same account."""
        is_reduced = self._bucket.per_s < self._full_per_s
        level, level_at_s = self._bucket.filled
        newest_s = self._newest_s
        return LimiterMemory(
            per_s=self._bucket.per_s if is_reduced else None,
            burst=self._bucket.burst if is_reduced else None,
            level=level,
            level_at_s=level_at_s,
            newest_s=None if newest_s == -math.inf else newest_s,
            successes_in_a_row=min(self._successes_in_a_row, SUCCESSES_BEFORE_OVERLAP),
            throttled_in_a_row=self._throttled_in_a_row,
            learned_at_s=None if self._learned_at_s == -math.inf else self._learned_at_s,
            cooldown_s=self._cooldown_s,
            breaker=self.breaker.dump(),
        )

    def load(self, memory: LimiterMemory) -> None:
        """Take over what another one remembers. Tickets stay as they are."""
        per_s = min(memory.per_s or self._full_per_s, self._full_per_s)
        burst = min(memory.burst or self._full_burst, self._full_burst)
        self._bucket.set_rate(per_s, burst)
        if memory.level is None:
            self._bucket.refill(burst, self._now())
        else:
            self._bucket.refill(memory.level, memory.level_at_s)
        self._newest_elsewhere_s = -math.inf if memory.newest_s is None else memory.newest_s
        self._successes_in_a_row = memory.successes_in_a_row
        self._throttled_in_a_row = memory.throttled_in_a_row
        self._learned_at_s = -math.inf if memory.learned_at_s is None else memory.learned_at_s
        self._cooldown_s = memory.cooldown_s
        self.breaker.load(memory.breaker)

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
            if not self._is_quiet:
                log.info("creates.rate_restored", per_minute=round(per_s * 60.0, 1))
        else:
            self._bucket.set_rate(per_s, 1.0)

    def answered(self) -> None:
        """Record an answer that shows that the provider and the account work."""
        self._newest_elsewhere_s = -math.inf
        self.breaker.succeeded()

    def failed(self, reason: str) -> bool:
        """Record a refused account or an unavailable provider; see `CircuitBreaker.failed`."""
        self._newest_elsewhere_s = -math.inf
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
        if not self._is_quiet:
            log.warning(
                "creates.rate_reduced", per_minute=round(per_s * 60.0, 1), wait_s=round(wait_s, 1)
            )

    def _overlap_wait_s(self) -> float:
        if self._successes_in_a_row >= SUCCESSES_BEFORE_OVERLAP:
            return 0.0
        return max(self._newest_s + OVERLAP_AFTER_S - self._now(), 0.0)

    @property
    def _newest_s(self) -> float:
        return max([*self._in_flight.values(), self._newest_elsewhere_s])
