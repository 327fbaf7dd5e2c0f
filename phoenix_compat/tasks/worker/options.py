"""The worker's options, and the intervals between its polls."""

from __future__ import annotations

from dataclasses import dataclass, field

from phoenix_compat.tasks.streams.text_follower import StreamOptions
from phoenix_compat.tasks.worker.circuit_breaker import BreakerOptions

JITTER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PollIntervals:
    """When to poll a running prediction: soon at first, then less and less often.

    Attributes:
        first_s: the wait before the first poll; each later wait is `growth` times the last.
        limit_s: the longest wait while the prediction is young.
        old_after_s: from this age on, the wait is `old_limit_s`.
        reported_s: the wait while webhooks report on the prediction, in case one is lost.
    """

    first_s: float = 0.4
    growth: float = 1.25
    limit_s: float = 3.0
    old_after_s: float = 300.0
    old_limit_s: float = 10.0
    reported_s: float = 20.0

    def wait_s(self, polls: int, age_s: float, jitter: float, *, is_reported: bool) -> float:
        """The wait before the next poll, in seconds.

        Args:
            polls: how many polls there were so far.
            age_s: how long the prediction has run.
            jitter: a random number from 0.0 to 1.0; 0.5 leaves the wait as it is.
            is_reported: whether a webhook has reported on this prediction.
        """
        if is_reported:
            wait_s = self.reported_s
        elif age_s >= self.old_after_s:
            wait_s = self.old_limit_s
        else:
            wait_s = min(self.first_s * self.growth ** min(polls, 100), self.limit_s)
        return wait_s * (1.0 + JITTER * (2.0 * jitter - 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How the worker works.

    Attributes:
        concurrency: tasks that run at once.
        creates_per_s, create_burst: how fast creates are sent; a 429 lowers both for a while.
        polls_per_s: the rate of all other requests to the provider; Replicate allows 50 per second.
        deadline_s: how long a prediction may take; also sent to the provider.
        deadline_grace_s: how long after the provider's deadline the worker gives up.
        max_resubmits: how often a create whose prediction was not found is sent again; each may
            cost money.
        max_repeats: how often a prediction that failed through no fault of its input is created
            again, over a task's whole life; each may cost money.
        repeat_first_s: the wait before the first such repeat, times a random factor from 0.5 to
            1.5; it doubles with each repeat.
        fallback_models: models to use instead, in this order, when a model is unavailable and the
            task type has no list of its own.
        archive_patience_s: how long storing copies of the files may take.
        max_connect_failures: after this many creates in a row without a connection, the task fails.
        reconcile_waits_s: the wait before each lookup of a create whose answer was lost.
        find_margin_s: how long before the create those lookups begin, in case the clocks differ.
        retention_s: the age at which a prediction can no longer be found by its input.
        max_missing: after this many polls in a row answered "no such prediction", it has expired.
        cancel_patience_s: how long a cancel waits for the prediction to end.
        stop_patience_s: how long `stop` waits for creates that are on their way.
        retry_first_s: the wait after a first failure; it doubles up to `retry_limit_s`.
        poll: when to poll a running prediction.
        streams: how the streams of texts are followed.
        breaker: when creates wait because the provider fails.
    """

    concurrency: int = 8
    creates_per_s: float = 10.0
    create_burst: float = 10.0
    polls_per_s: float = 30.0
    deadline_s: float = 600.0
    deadline_grace_s: float = 15.0
    max_resubmits: int = 1
    max_repeats: int = 2
    repeat_first_s: float = 5.0
    fallback_models: tuple[str, ...] = ()
    archive_patience_s: float = 180.0
    max_connect_failures: int = 8
    reconcile_waits_s: tuple[float, ...] = (2.0, 8.0, 20.0)
    find_margin_s: float = 60.0
    retention_s: float = 3_300.0
    max_missing: int = 3
    cancel_patience_s: float = 10.0
    stop_patience_s: float = 25.0
    retry_first_s: float = 1.0
    retry_limit_s: float = 15.0
    poll: PollIntervals = field(default_factory=PollIntervals)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    streams: StreamOptions = field(default_factory=StreamOptions)

    def retry_wait_s(self, failures: int) -> float:
        """The wait after this many failures in a row, in seconds."""
        return min(self.retry_first_s * 2.0 ** max(failures - 1, 0), self.retry_limit_s)

    def repeat_wait_s(self, repeats: int) -> float:
        """The wait before repeat number `repeats` (from 1), in seconds, without jitter."""
        return self.repeat_first_s * 2.0 ** (repeats - 1)
