"""The archive: outputs fetched at once, since the provider deletes them, and kept by content.

    URL → DownloadHosts.checked → Downloader → IncomingFile → magic bytes → ContentStore.settle →
    thumbnail

It knows no token and no database. A file that `keep` returned is durable; anything else leaves
nothing that could be seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from aiohttp.abc import AbstractResolver

from phoenix_compat.tasks.archive.allowed_hosts import REPLICATE_HOSTS, DownloadHosts
from phoenix_compat.tasks.archive.content_store import ContentStore, ContentStoreLimits, StoredPath
from phoenix_compat.tasks.archive.data_url import decoded_data_url, is_data_url
from phoenix_compat.tasks.archive.download import Downloader, DownloadLimits
from phoenix_compat.tasks.archive.errors import ArchiveError, WrongFileError
from phoenix_compat.tasks.archive.file_type import FileType, file_type_of, is_html
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.archive.thumbnail import ThumbnailError, draw_thumbnail, has_thumbnail
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.task import Task

log = structlog.stdlib.get_logger(__name__)

MAX_FILE_BYTES = 50 * 2**20
MIN_FREE_BYTES = 64 * 2**20
CONCURRENCY = 4
THUMBNAILS_AT_ONCE = 2
"""A picture of many pixels takes some hundred megabytes while its thumbnail is drawn."""

ACCEPTED: Mapping[str, frozenset[str]] = {"image": frozenset({"image"})}
"""By the type of task, the families of files it may make; a type without a row makes any."""


@dataclass(slots=True)
class ArchiveCounts:
    """What an archive has done since it was opened.

    Attributes:
        kept: files that are new on disk. known: those that were there already.
        kept_bytes: what the new ones have together.
        pruned: files that were deleted for their age or for room.
        failures: files that were not kept, by reason.
        thumbnail_failures: pictures that were kept and have no thumbnail.
    """

    kept: int = 0
    known: int = 0
    kept_bytes: int = 0
    pruned: int = 0
    thumbnail_failures: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Archive:
    """Files of finished tasks, in a folder of this machine."""

    def __init__(  # noqa: PLR0913 - plain values, each with a default
        self,
        folder: Path,
        *,
        allowed_hosts: Sequence[str] = REPLICATE_HOSTS,
        max_file_bytes: int = MAX_FILE_BYTES,
        total_timeout_s: float = 120.0,
        read_timeout_s: float = 30.0,
        max_total_bytes: int | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
        grace_s: float = 3_600.0,
        retry_first_s: float = 0.5,
        accepted: Mapping[str, frozenset[str]] = ACCEPTED,
        resolver: AbstractResolver | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            folder: where the files go; made when missing.
            allowed_hosts: see `DownloadHosts`; the emulator's origin goes here.
            total_timeout_s: one file, its repeats and waits included.
            read_timeout_s: silence in the middle of a file.
            max_total_bytes: to stay below it the oldest files go, and then `keep` refuses.
            min_free_bytes: so much of the disk is left to others, the database above all.
            grace_s: files younger than this are never pruned.
            resolver: looks up names, for tests.

        Raises:
            ConfigError: a host that is none.
        """
        self._hosts = DownloadHosts(allowed_hosts)
        self._accepted = accepted
        self._limits = DownloadLimits(
            max_file_bytes=max_file_bytes,
            total_timeout_s=total_timeout_s,
            read_timeout_s=read_timeout_s,
            retry_first_s=retry_first_s,
            connections=CONCURRENCY,
        )
        content_store_limits = ContentStoreLimits(
            max_total_bytes=max_total_bytes, min_free_bytes=min_free_bytes, grace_s=grace_s
        )
        self._content_store = ContentStore(folder, content_store_limits, clock or SystemClock())
        self._downloader = Downloader(self._hosts, self._limits, resolver)
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._easels = asyncio.Semaphore(THUMBNAILS_AT_ONCE)
        self.counts = ArchiveCounts()

    @property
    def total_bytes(self) -> int:
        """What all files have together."""
        return self._content_store.total_bytes

    async def open(self) -> None:
        """Make the folder, throw away what a crash left half done, and be ready to fetch.

        Raises:
            ArchiveFolderError: the folder cannot be used.
        """
        await asyncio.to_thread(self._content_store.open)
        self._downloader.open()

    async def close(self) -> None:
        """Close the connections. What is being kept should be cancelled first."""
        await self._downloader.close()

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """Fetch a task's outputs and put them on disk; returns them in the order of `urls`.

        Calling it again is harmless: a file that is there already is not written twice.

        Raises:
            ArchiveError: at least one was not kept, this is why the first was not; all others
                were tried, and `error.kept` has them by position.
        """
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(self._kept_or_error(task, url)) for url in urls]
        results = [job.result() for job in jobs]
        errors = [result for result in results if isinstance(result, ArchiveError)]
        kept = tuple(result if isinstance(result, StoredFile) else None for result in results)
        if errors:
            errors[0].kept = kept
            raise errors[0]
        return tuple(one for one in kept if one is not None)

    async def prune(
        self, *, older_than_s: float | None = None, keep_bytes: int | None = None
    ) -> int:
        """Delete old files with their thumbnails, the oldest first; returns how many files.

        Age counts from when a file was last kept. The grace period holds for both.

        Args:
            older_than_s: delete what is older.
            keep_bytes: delete until all together have no more bytes than this.

        Raises:
            ArchiveFolderError: a file cannot be deleted.
        """
        pruned = await asyncio.to_thread(self._content_store.prune, older_than_s, keep_bytes)
        self.counts.pruned = self._content_store.pruned
        if pruned:
            log.info("archive.pruned", files=pruned, left_bytes=self._content_store.total_bytes)
        return pruned

    def set_max_total_bytes(self, max_total_bytes: int | None) -> None:
        """Another limit on all files together; it is kept to when the next file comes."""
        self._content_store.set_max_total_bytes(max_total_bytes)

    async def discard(self, hashes: Iterable[str]) -> int:
        """Delete files by their sha256, with their thumbnails; the grace period holds.

        Returns:
            How many bytes that freed.

        Raises:
            ArchiveFolderError: a file cannot be deleted.
        """

        def discard() -> int:
            return sum(self._content_store.discard(sha256) for sha256 in hashes)

        freed = await asyncio.to_thread(discard)
        self.counts.pruned = self._content_store.pruned
        return freed

    async def path_of(self, name: str, *, is_thumbnail: bool = False) -> Path | None:
        """Where a file lies: by its sha256 or by "<sha256>.<ext>"; None when there is none.

        Nothing but such a name is ever looked for.
        """
        return await asyncio.to_thread(self._content_store.find, name, is_thumbnail=is_thumbnail)

    async def _kept_or_error(self, task: Task, url: str) -> StoredFile | ArchiveError:
        try:
            async with self._slots:
                return await self._kept(task, url)
        except ArchiveError as error:
            self.counts.failures[error.reason] += 1
            log.warning("archive.not_kept", task_id=task.id, reason=error.reason, detail=str(error))
            return error

    async def _kept(self, task: Task, url: str) -> StoredFile:
        async with self._incoming() as incoming:
            if is_data_url(url):
                limit = self._limits.max_file_bytes
                content = await asyncio.to_thread(decoded_data_url, url, limit)
                await asyncio.to_thread(incoming.write, content)
            else:
                await self._downloader.fetch(url, incoming)
            file_type = self._checked(task, incoming.head)
            stored = await asyncio.to_thread(self._content_store.settle, incoming, file_type)
        self._count(stored)
        return StoredFile(
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            content_type=file_type.content_type,
            path=stored.relative,
            thumbnail_path=await self._thumbnail(task, stored, file_type),
            source_url=None if is_data_url(url) else url,
        )

    def _checked(self, task: Task, head: bytes) -> FileType:
        if not head:
            raise WrongFileError("empty", "the file is empty")
        if is_html(head):
            raise WrongFileError("html", "the file is a web page")
        file_type = file_type_of(head)
        families = self._accepted.get(task.type)
        if families is not None and file_type.family not in families:
            raise WrongFileError(
                "wrong_type", f"a task of type {task.type} does not make {file_type.content_type}"
            )
        return file_type

    def _count(self, stored: StoredPath) -> None:
        self.counts.pruned = self._content_store.pruned
        if stored.is_new:
            self.counts.kept += 1
            self.counts.kept_bytes += stored.size_bytes
        else:
            self.counts.known += 1

    async def _thumbnail(self, task: Task, stored: StoredPath, file_type: FileType) -> str | None:
        if not has_thumbnail(file_type):
            return None
        try:
            async with self._easels:
                return await asyncio.to_thread(self._draw, stored)
        except (ThumbnailError, ArchiveError) as error:
            # The picture is what was paid for, and it is kept.
            self.counts.thumbnail_failures += 1
            log.warning("archive.no_thumbnail", task_id=task.id, detail=str(error))
            return None

    def _draw(self, stored: StoredPath) -> str:
        if (
            not stored.is_new
            and (known := self._content_store.thumbnail(stored.sha256)) is not None
        ):
            return known
        return self._content_store.add_thumbnail(stored.sha256, draw_thumbnail(stored.path))

    @asynccontextmanager
    async def _incoming(self) -> AsyncIterator[IncomingFile]:
        incoming = self._content_store.incoming()
        try:
            yield incoming
        finally:
            await asyncio.to_thread(incoming.discard)
