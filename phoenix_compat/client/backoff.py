"""How long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence


class Backoff:
    """Waits from a table, with jitter, so that many clients do not come back at once.

    Source: phoenix.js 1.8, timer.js. Differs from phoenix.js: it has no jitter.

    Args:
        waits_s: the waits; the last one is repeated.
        jitter: 0.25 makes each wait up to a quarter shorter or longer.
        uniform: a random number between two.
    """

    __slots__ = ("_jitter", "_tries", "_uniform", "_waits_s")

    def __init__(
        self,
        waits_s: Sequence[float],
        jitter: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._waits_s = waits_s
        self._jitter = jitter
        self._uniform = uniform
        self._tries = 0

    @property
    def tries(self) -> int:
        """How many waits there were since the last reset."""
        return self._tries

    def next_s(self) -> float:
        """The next wait, in seconds."""
        wait_s = self._waits_s[min(self._tries, len(self._waits_s) - 1)]
        self._tries += 1
        return wait_s * self._uniform(1.0 - self._jitter, 1.0 + self._jitter)

    def reset(self) -> None:
        """Begin the table again."""
        self._tries = 0
