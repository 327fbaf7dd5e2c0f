"""How the worker works and when it looks again: plain values and arithmetic, no waiting."""

from __future__ import annotations

from dataclasses import dataclass, field

JITTER = 0.1
LOOKS_PER_S = 30.0
"""The provider allows 50 reads a second; all running predictions share this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPace:
    """When to look at a running prediction: soon at first, then ever less often.

    Attributes:
        first_s: before the first look; each later wait is `growth` times the one before.
        limit_s: the longest wait of a young prediction.
        old_after_s: from this age on, the wait is `old_limit_s`.
    """

    first_s: float = 0.4
    growth: float = 1.25
    limit_s: float = 3.0
    old_after_s: float = 300.0
    old_limit_s: float = 10.0

    def wait_s(self, looks: int, age_s: float, running: int, jitter: float) -> float:
        """The wait before the next look.

        Args:
            looks: how many looks there were.
            age_s: how long the prediction has run.
            running: how many predictions share the budget of looks.
            jitter: a random number from 0.0 to 1.0; 0.5 leaves the wait as it is.
        """
        if age_s >= self.old_after_s:
            wait_s = self.old_limit_s
        else:
            wait_s = min(self.first_s * self.growth ** min(looks, 100), self.limit_s)
        spread = 1.0 + JITTER * (2.0 * jitter - 1.0)
        return max(wait_s * spread, running / LOOKS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How the worker works.

    Attributes:
        concurrency: tasks in hand at once.
        deadline_s: a prediction may take this long; the provider is told the same.
        deadline_grace_s: our own timer rings this much later than the provider's.
        max_resubmits: how often an order that vanished is sent once more; each may cost money.
        max_connect_failures: after so many creates without a connection the task fails.
        reconcile_waits_s: the wait before each look for an order whose answer was lost.
        find_margin_s: how far before the order those looks begin, for clocks that differ.
        retention_s: the age at which an order can no longer be found by its input.
        max_missing: looks in a row that find no such prediction, before it counts as gone.
        cancel_patience_s: how long a cancel waits for a result that may be faster.
        stop_patience_s: how long `stop` waits for orders that are being placed.
        retry_first_s: the wait after a first trouble; it doubles up to `retry_limit_s`.
        poll: when to look at a running prediction.
    """

    concurrency: int = 8
    deadline_s: float = 600.0
    deadline_grace_s: float = 15.0
    max_resubmits: int = 1
    max_connect_failures: int = 8
    reconcile_waits_s: tuple[float, ...] = (2.0, 8.0, 20.0)
    find_margin_s: float = 60.0
    retention_s: float = 3_300.0
    max_missing: int = 3
    cancel_patience_s: float = 10.0
    stop_patience_s: float = 25.0
    retry_first_s: float = 1.0
    retry_limit_s: float = 15.0
    poll: PollPace = field(default_factory=PollPace)

    def retry_wait_s(self, failures: int) -> float:
        """The wait after so many failures in a row, in seconds."""
        return min(self.retry_first_s * 2.0 ** max(failures - 1, 0), self.retry_limit_s)
