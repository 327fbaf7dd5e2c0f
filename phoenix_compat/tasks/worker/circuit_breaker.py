"""The circuit breaker for creates: while the provider fails, one create probes it and others wait.

    closed ── refused for the account, or unavailable several times in a row ──→ open
    open ──── the wait is over, and one create is sent as a probe ─────────────→ half_open
    half_open ── any other answer ──→ closed        ── the same failure again ──→ open, for longer

The create that opens the breaker fails its task. Tasks that find it open wait, and they take turns
with the probes, so a task that is always refused does not block the others. The breaker has no
timer: callers ask it how long to wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import structlog

log = structlog.stdlib.get_logger(__name__)

ACCOUNT = "provider_account"
UNAVAILABLE = "provider_unavailable"
PROBE_LOST_AFTER_S = 90.0
"""Longer than a create and the renewal of its lease take."""


class BreakerState(StrEnum):
    """Whether creates may be sent."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """When the breaker opens and how it tries again.

    Attributes:
        failures: how many creates in a row must find the provider unavailable before the breaker
            opens; a refusal of the account opens it at once.
        first_probe_s: the wait before the first probe; it doubles up to `probe_limit_s`.
        patience_s: how long a task waits for it to close before it fails with the breaker's reason.
    """

    failures: int = 10
    first_probe_s: float = 30.0
    probe_limit_s: float = 300.0
    patience_s: float = 3_600.0


class BreakerMemory(msgspec.Struct, omit_defaults=True):
    """What a breaker remembers; times are those of its clock."""

    state: BreakerState = BreakerState.CLOSED
    reason: str = ""
    failures: int = 0
    opened_at_s: float = 0.0
    probe_at_s: float = 0.0
    probe_wait_s: float = 0.0
    probe_sent_at_s: float = 0.0


class CircuitBreaker:
    """One per provider account."""

    def __init__(
        self, options: BreakerOptions, now: Callable[[], float], *, is_quiet: bool = False
    ) -> None:
        self._is_quiet = is_quiet
        self._options = options
        self._now = now
        self._state = BreakerState.CLOSED
        self._reason = ""
        self._failures = 0
        self._opened_at_s = 0.0
        self._probe_at_s = 0.0
        self._probe_wait_s = options.first_probe_s
        self._probe_sent_at_s = 0.0

    @property
    def state(self) -> BreakerState:
        """The present state."""
        return self._state

    @property
    def reason(self) -> str | None:
        """The error code that opened it; None when it is closed."""
        return None if self._state is BreakerState.CLOSED else self._reason

    @property
    def open_s(self) -> float:
        """How long it has not been closed, in seconds; 0.0 when it is closed."""
        return 0.0 if self._state is BreakerState.CLOSED else self._now() - self._opened_at_s

    def wait_s(self) -> float:
        """Seconds until a create may be sent; infinite while a probe is on its way."""
        match self._state:
            case BreakerState.CLOSED:
                return 0.0
            case BreakerState.OPEN:
                return max(self._probe_at_s - self._now(), 0.0)
            case BreakerState.HALF_OPEN:
                return math.inf

    def enter(self) -> None:
        """Record that a create is sent; if the breaker is open, this create is the probe."""
        if self._state is BreakerState.OPEN:
            self._probe_sent_at_s = self._now()
            self._set_state(BreakerState.HALF_OPEN)

    def withdraw(self) -> None:
        """Record that the create was not sent after all, so it was not a probe."""
        if self._state is BreakerState.HALF_OPEN:
            self._set_state(BreakerState.OPEN)

    def succeeded(self) -> None:
        """Record that the provider accepted a create, or refused it because of its input."""
        self._failures = 0
        self._probe_wait_s = self._options.first_probe_s
        if self._state is not BreakerState.CLOSED:
            self._set_state(BreakerState.CLOSED)

    def failed(self, reason: str) -> bool:
        """Record that the account was refused or the provider was unavailable.

        Returns:
            Whether the task should wait instead of failing, because the breaker was open already.
        """
        self._failures += 1
        match self._state:
            case BreakerState.CLOSED:
                if reason == ACCOUNT or self._failures >= self._options.failures:
                    self._opened_at_s = self._now()
                    self._open(reason)
                return False
            case BreakerState.HALF_OPEN:
                self._probe_wait_s = min(self._probe_wait_s * 2.0, self._options.probe_limit_s)
                self._open(reason)
                return True
            case BreakerState.OPEN:
                # This create was on its way when another one opened the breaker.
                return True

    def dump(self) -> BreakerMemory:
        """What it remembers, for the breaker of another process."""
        return BreakerMemory(
            state=self._state,
            reason=self._reason,
            failures=self._failures,
            opened_at_s=self._opened_at_s,
            probe_at_s=self._probe_at_s,
            probe_wait_s=self._probe_wait_s,
            probe_sent_at_s=self._probe_sent_at_s,
        )

    def load(self, memory: BreakerMemory) -> None:
        """Take over what another one remembers.

        A probe that is on its way for long is taken for lost, with the process that sent it.
        """
        self._state = memory.state
        self._reason = memory.reason
        self._failures = memory.failures
        self._opened_at_s = memory.opened_at_s
        self._probe_at_s = memory.probe_at_s
        self._probe_wait_s = memory.probe_wait_s or self._options.first_probe_s
        self._probe_sent_at_s = memory.probe_sent_at_s
        is_on_its_way = self._state is BreakerState.HALF_OPEN
        if is_on_its_way and self._now() - self._probe_sent_at_s > PROBE_LOST_AFTER_S:
            self._state = BreakerState.OPEN

    def _open(self, reason: str) -> None:
        self._reason = reason
        self._probe_at_s = self._now() + self._probe_wait_s
        self._set_state(BreakerState.OPEN)

    def _set_state(self, state: BreakerState) -> None:
        self._state = state
        if not self._is_quiet:
            log.warning("provider.circuit", state=state.value, reason=self.reason)
