"""Token buckets by key, in a table of limited size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

from phoenix_compat.tasks.token_bucket import TokenBucket

MAX_BUCKETS: Final = 10_000

_EXPIRED_PER_NEW: Final = 2
_COMPARED: Final = 8
_ALMOST: Final = 1e-6


class BucketTable:
    """A token bucket for each key, all with the same rate; a new key has a full bucket.

    A bucket that is full again says nothing and is dropped when new ones come. If the table is full
    of others, it drops the fullest of those that were used longest ago. So an empty bucket cannot
    be pushed out by ever new keys, unless they empty many buckets of their own.

    Args:
        per_s: how many tokens each bucket gains per second.
        burst: how many tokens it holds, at least one.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        per_s: float,
        burst: float,
        now: Callable[[], float],
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now = now
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """How many buckets it holds."""
        return len(self._buckets)

    def wait_s(self, key: str) -> float:
        """Seconds until this key has a token; 0.0 when it has one now."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        self._buckets.move_to_end(key)
        return bucket.wait_s()

    def try_take(self, key: str) -> float:
        """Take a token of this key if it has one; returns what `wait_s` was."""
        return self._bucket(key).try_take()

    def take(self, key: str) -> None:
        """Take a token of this key, even if it has none yet."""
        self._bucket(key).take()

    def _bucket(self, key: str) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room()
            bucket = self._buckets[key] = TokenBucket(self._per_s, self._burst, self._now)
        else:
            self._buckets.move_to_end(key)
        return bucket

    def _make_room(self) -> None:
        oldest = list(islice(self._buckets.items(), _COMPARED))
        for key, bucket in oldest[:_EXPIRED_PER_NEW]:
            if bucket.level >= self._burst - _ALMOST:
                del self._buckets[key]
        if len(self._buckets) >= self._max_buckets:
            key, _ = max(oldest, key=lambda one: one[1].level)
            del self._buckets[key]
