"""The one gate that all creates pass: shut for a while when the provider says "too many"."""

from __future__ import annotations

from phoenix_compat.tasks.clock import Clock


class CreateGate:
    """Open or shut; one per provider account, because its limits are per account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opens_at_s = 0.0

    def shut_for(self, wait_s: float) -> None:
        """Shut for at least so many seconds from now."""
        self._opens_at_s = max(self._opens_at_s, self._clock.monotonic() + wait_s)

    def wait_s(self) -> float:
        """Seconds until it opens; 0.0 when it is open."""
        return max(self._opens_at_s - self._clock.monotonic(), 0.0)
