"""Finds the oldest files of a bucket and deletes them. Knows only so many of them at a time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from phoenix_compat.tasks.archive.content_store import ContentStoreLimits
from phoenix_compat.tasks.archive.errors import ArchiveFullError
from phoenix_compat.tasks.archive.file_stores.file_store import BATCH_SIZE
from phoenix_compat.tasks.archive.file_stores.s3 import keys
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket
from phoenix_compat.tasks.archive.file_stores.s3.deletion import Deletion, FileObjects
from phoenix_compat.tasks.model.clock import Clock

MAX_OLDEST: Final = 20_000
"""Files that are remembered while the bucket is listed; more are found in another round."""
MAX_DELETIONS: Final = 8
"""Files that are deleted at the same time."""
MEASURED_S: Final = 3_600.0
"""With a limit for all files, their size is measured again when it is so old."""


class _Candidate(NamedTuple):
    """A file; `kept_s` is when it was kept the last time, as a timestamp."""

    kept_s: float
    sha256: str
    size_bytes: int


class BucketPruning:
    """Prunes a bucket.

    Attributes:
        limits: see `Archive`.
        total_bytes: the size of all files when they were listed the last time, and of what this
            process has stored since.
        pruned: how many files this process has deleted.
    """

    def __init__(self, bucket: Bucket, limits: ContentStoreLimits, clock: Clock) -> None:
        self.limits = limits
        self.total_bytes = 0
        self.pruned = 0
        self._bucket = bucket
        self._clock = clock
        self._lock = asyncio.Lock()
        self._measured_s: float | None = None

    async def make_room(self, more_bytes: int) -> None:
        """Prune so that a new file stays below the limit.

        Raises:
            ArchiveFullError: no file is old enough to be pruned.
        """
        limit = self.limits.max_total_bytes
        if limit is None:
            return
        measured_s = self._measured_s
        is_measured = measured_s is not None and self._monotonic() - measured_s < MEASURED_S
        if is_measured and self.total_bytes + more_bytes <= limit:
            return
        await self.prune(None, max(limit - more_bytes, 0))
        if self.total_bytes + more_bytes > limit:
            raise ArchiveFullError(
                f"{self._bucket.name} has {self.total_bytes} of at most {limit} bytes, and no file "
                "is old enough to be pruned; raise the limit or delete files"
            )

    async def prune(self, older_than_s: float | None, keep_bytes: int | None) -> int:
        """Delete the oldest files; returns how many."""
        async with self._lock:
            pruned_before = self.pruned
            while True:
                oldest = await self._oldest()
                chosen = list(self._chosen(oldest, older_than_s, keep_bytes))
                pruned = self.pruned
                await self.discard([one.sha256 for one in chosen])
                is_all = len(oldest) < MAX_OLDEST or len(chosen) < len(oldest)
                if is_all or self.pruned == pruned:
                    return self.pruned - pruned_before

    async def discard(self, hashes: Iterable[str], min_age_s: float | None = None) -> int:
        """Delete files that nobody has kept lately; returns the freed bytes."""
        grace_s = self.limits.grace_s if min_age_s is None else min_age_s
        valid = (one for one in hashes if keys.key_parts(keys.used_key(one)) is not None)
        freed_bytes = 0
        while batch := list(islice(valid, MAX_DELETIONS)):
            deletions = (Deletion(self._bucket, sha256).run(grace_s) for sha256 in batch)
            for size_bytes in await _all(deletions):
                if size_bytes:
                    freed_bytes += size_bytes
                    self.pruned += 1
                    self.total_bytes = max(self.total_bytes - size_bytes, 0)
        return freed_bytes

    async def old_hashes(self, older_than_s: float) -> AsyncIterator[frozenset[str]]:
        """The hashes of files that were kept longer ago, in batches."""
        batch: set[str] = set()
        async for sha256, found in self._files():
            kept_at = found.kept_at
            if kept_at is not None and self._now_s() - kept_at.timestamp() > older_than_s:
                batch.add(sha256)
            if len(batch) == BATCH_SIZE:
                yield frozenset(batch)
                batch.clear()
        if batch:
            yield frozenset(batch)

    def _chosen(
        self, oldest: list[_Candidate], older_than_s: float | None, keep_bytes: int | None
    ) -> Iterator[_Candidate]:
        """Those that are too old or too many, oldest first."""
        left_bytes = self.total_bytes
        for one in oldest:
            age_s = self._now_s() - one.kept_s
            is_old = older_than_s is not None and age_s > older_than_s
            is_surplus = keep_bytes is not None and left_bytes > keep_bytes
            if age_s < self.limits.grace_s or not (is_old or is_surplus):
                return
            left_bytes -= one.size_bytes
            yield one

    async def _oldest(self) -> list[_Candidate]:
        """The oldest files, oldest first; measures the total size, too."""
        newest_first: list[tuple[float, _Candidate]] = []  # a heap
        async for sha256, found in self._files():
            kept_at = found.kept_at
            if kept_at is None or not found.files:
                continue
            size_bytes = sum(one.size_bytes for one in found.files)
            one = _Candidate(kept_at.timestamp(), sha256, size_bytes)
            if len(newest_first) < MAX_OLDEST:
                heapq.heappush(newest_first, (-one.kept_s, one))
            else:
                heapq.heappushpop(newest_first, (-one.kept_s, one))
        self._measured_s = self._monotonic()
        return sorted(one for _, one in newest_first)

    async def _files(self) -> AsyncIterator[tuple[str, FileObjects]]:
        """Everything in the bucket, by file; the sum of the sizes becomes `total_bytes`."""
        total_bytes = 0
        name, found = "", FileObjects()
        async for one in self._bucket.list():
            parts = keys.key_parts(one.key)
            if parts is not None or one.key.startswith(keys.THUMBNAILS):
                total_bytes += one.size_bytes
            if parts is None:
                continue
            if parts.sha256 != name:
                if name:
                    yield name, found
                name, found = parts.sha256, FileObjects()
            found.add(one, parts)
        if name:
            yield name, found
        self.total_bytes = total_bytes

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    def _monotonic(self) -> float:
        return self._clock.monotonic()


async def _all(deletions: Iterable[Coroutine[None, None, int | None]]) -> list[int | None]:
    """Run them together; raises the first error after all have ended."""
    results = await asyncio.gather(*deletions, return_exceptions=True)
    for one in results:
        if isinstance(one, BaseException):
            raise one
    return [one for one in results if not isinstance(one, BaseException)]
