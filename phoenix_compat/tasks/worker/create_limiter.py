"""The one create limiter that all creates pass: its pace, what it learns from "too many", and the
breaker.

One per provider account, because its limits are per account. It waits for nothing itself: it says
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
"""A learned limit is used up to here: orders do not arrive as evenly as they are sent."""
SLOWEST_PER_S = 0.1
RECOVERY = 1.1
FIRST_CALM_S = 60.0
CALM_LIMIT_S = 3_600.0
ONE_LESSON_S = 1.0
"""Orders that were sent together are refused together: that is one lesson."""
PROOF = 10
"""After so many good answers in a row orders may overlap; before, one shows if there is a limit."""
OVERLAP_AFTER_S = 2.0
"""An order that is slower than this holds back no other."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """How it stands with the provider, for operators.

    Attributes:
        circuit: closed, open or half_open.
        reason: the code of what opened the circuit; None when it is closed.
        open_s: for how long nothing has worked.
        creates_per_minute: the pace that is kept, learned or as set.
        is_reduced: whether the provider asked for a slower pace than the one that is set.
    """

    circuit: BreakerState
    reason: str | None
    open_s: float
    creates_per_minute: float
    is_reduced: bool


class CreateLimiter:
    """Says when the next create may go, and learns from how each one ended."""

    def __init__(self, clock: Clock, options: WorkerOptions) -> None:
        self._options = options
        self._now = clock.monotonic
        self._full_per_s = options.creates_per_s
        self._full_burst = options.create_burst
        self._bucket = TokenBucket(self._full_per_s, self._full_burst, self._now)
        self.breaker = CircuitBreaker(options.breaker, self._now)
        self._on_their_way: dict[int, float] = {}
        self._going_back: set[int] = set()
        self._tickets = 0
        self._good_in_a_row = 0
        self._bad_in_a_row = 0
        self._learned_at_s = -math.inf
        self._calm_s = FIRST_CALM_S

    @property
    def state(self) -> ProviderState:
        """How it stands with the provider, for operators."""
        return ProviderState(
            circuit=self.breaker.state,
            reason=self.breaker.reason,
            open_s=self.breaker.open_s,
            creates_per_minute=self._bucket.per_s * 60.0,
            is_reduced=self._bucket.per_s < self._full_per_s,
        )

    def wait_s(self) -> float:
        """Seconds until a create may go; 0.0 for now, infinite for "when one has come back"."""
        if self._going_back:
            return math.inf
        return max(self._bucket.wait_s(), self.breaker.wait_s(), self._overlap_wait_s())

    def enter(self) -> int:
        """Let a create go; the ticket is given back with `leave`."""
        self._bucket.take()
        self.breaker.enter()
        self._tickets += 1
        self._on_their_way[self._tickets] = self._now()
        return self._tickets

    def hold(self, ticket: int) -> None:
        """This order goes back to its place in the queue; until it is there nobody passes."""
        self._going_back.add(ticket)

    def leave(self, ticket: int) -> None:
        """A create is over, or was never made; giving a ticket back twice does nothing."""
        self._going_back.discard(ticket)
        if self._on_their_way.pop(ticket, None) is not None:
            self.breaker.withdraw()

    def succeeded(self) -> None:
        """An order was taken; after a calm time a reduced pace rises again, a little each time."""
        self.answered()
        self._good_in_a_row += 1
        self._bad_in_a_row = 0
        is_calm = self._now() - self._learned_at_s >= self._calm_s
        if not is_calm or self._bucket.per_s >= self._full_per_s:
            return
        per_s = min(self._bucket.per_s * RECOVERY, self._full_per_s)
        if per_s >= self._full_per_s:
            self._calm_s = FIRST_CALM_S
            self._bucket.set_rate(per_s, self._full_burst)
            log.info("creates.pace_restored", per_minute=round(per_s * 60.0, 1))
        else:
            self._bucket.set_rate(per_s, 1.0)

    def answered(self) -> None:
        """An order was refused for what it asks: whoever says so is there."""
        self.breaker.succeeded()

    def failed(self, reason: str) -> bool:
        """An order was refused for the account, or found nobody; see `CircuitBreaker.failed`."""
        return self.breaker.failed(reason)

    def throttled(self, error: ProviderThrottledError, jitter: float) -> None:
        """An order was too many: wait, and go on at the pace that is allowed, or at half of ours.

        Args:
            jitter: from 0.0 to 1.0; lengthens the wait by up to a tenth.
        """
        self.answered()
        self._good_in_a_row = 0
        self._bad_in_a_row += 1
        # Who asks for no wait, again and again, gets one nevertheless.
        asked_s = max(error.retry_after_s, self._options.retry_wait_s(self._bad_in_a_row))
        wait_s = asked_s * (1.0 + 0.1 * jitter)
        self._bucket.shut_for(wait_s)
        now_s = self._now()
        if now_s - self._learned_at_s < ONE_LESSON_S:
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
            "creates.pace_reduced", per_minute=round(per_s * 60.0, 1), wait_s=round(wait_s, 1)
        )

    def _overlap_wait_s(self) -> float:
        if self._good_in_a_row >= PROOF or not self._on_their_way:
            return 0.0
        newest_s = max(self._on_their_way.values())
        return max(newest_s + OVERLAP_AFTER_S - self._now(), 0.0)
