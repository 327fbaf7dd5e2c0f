"""Downloads and stores the output files of tasks, because the provider deletes them soon.

    URL → DownloadHosts.validate → Downloader → IncomingFile → file type → FileStore.commit →
    thumbnails

It has no access to the API token or the database. A file that `keep` returned is durable; a failed
download leaves no visible file.
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

from phoenix_compat.tasks.archive.content_store import ContentStoreLimits, StoredPath
from phoenix_compat.tasks.archive.data_url import decode_data_url, is_data_url
from phoenix_compat.tasks.archive.download import Downloader, DownloadLimits
from phoenix_compat.tasks.archive.download_hosts import REPLICATE_HOSTS, DownloadHosts
from phoenix_compat.tasks.archive.errors import ArchiveError, WrongFileError
from phoenix_compat.tasks.archive.file_stores.choice import file_store
from phoenix_compat.tasks.archive.file_stores.file_store import FoundFile
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location
from phoenix_compat.tasks.archive.file_type import FileType, file_type_of, is_html
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.archive.input_files import InputFiles
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.archive.thumbnails import ThumbnailError, has_thumbnail, thumbnail_of
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.task import Task

log = structlog.stdlib.get_logger(__name__)

MAX_FILE_BYTES = 50 * 2**20
MIN_FREE_BYTES = 64 * 2**20
MAX_CONCURRENT_DOWNLOADS = 4
MAX_CONCURRENT_THUMBNAILS = 2
"""Drawing the thumbnail of a large picture takes some hundred megabytes of memory."""

ACCEPTED: Mapping[str, frozenset[str]] = {"image": frozenset({"image"})}
"""Task type -> families of files that are accepted; other task types may have any file."""


@dataclass(slots=True)
class ArchiveCounts:
    """What an archive has done since it was opened.

    Attributes:
        kept: files that were added.
        known: files that were stored already.
        kept_bytes: total size of the files that were added.
        pruned: files that were deleted because of their age or the size limit.
        failures: files that could not be stored, by reason.
        thumbnail_failures: pictures that were stored without a thumbnail.
    """

    kept: int = 0
    known: int = 0
    kept_bytes: int = 0
    pruned: int = 0
    thumbnail_failures: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Archive:
    """The files of tasks, in a folder or at an S3 server.

    Attributes:
        inputs: the files that clients sent, in the same place.
        files: the place.
    """

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
        keeps_metadata: bool = False,
        is_shared: bool = False,
        bucket: S3Location | None = None,
        resolver: AbstractResolver | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Create the archive; `open` makes it ready.

        Args:
            folder: where files are stored; created if it is missing.
            allowed_hosts: see `DownloadHosts`.
            max_file_bytes: the limit for one file.
            total_timeout_s: the limit for one file, including retries and waits.
            read_timeout_s: how long a download may be silent.
            max_total_bytes: the limit for all files. The oldest files are pruned to stay below it;
                if that is not enough, `keep` refuses new files.
            min_free_bytes: disk space that is left free, mainly for the database.
            grace_s: files younger than this are never pruned.
            retry_first_s: the wait before the first retry; it doubles with each retry.
            accepted: see `ACCEPTED`.
            keeps_metadata: whether pictures of clients keep their metadata; outputs always do.
            is_shared: whether other servers store files in the folder too.
            bucket: where files are stored instead; in the folder they only arrive.
            resolver: resolves host names; for tests.

        Raises:
            ConfigError: an entry of `allowed_hosts` is invalid.
            MissingExtraError: a bucket needs the extra s3.
        """
        self._hosts = DownloadHosts(allowed_hosts)
        self._accepted = accepted
        self._limits = DownloadLimits(
            max_file_bytes=max_file_bytes,
            total_timeout_s=total_timeout_s,
            read_timeout_s=read_timeout_s,
            retry_first_s=retry_first_s,
            connections=MAX_CONCURRENT_DOWNLOADS,
        )
        content_store_limits = ContentStoreLimits(
            max_total_bytes=max_total_bytes, min_free_bytes=min_free_bytes, grace_s=grace_s
        )
        self.files = file_store(
            folder, content_store_limits, clock or SystemClock(), bucket, is_shared=is_shared
        )
        self.inputs = InputFiles(self.files, keeps_metadata=keeps_metadata)
        self._downloader = Downloader(self._hosts, self._limits, resolver)
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_DOWNLOADS)
        self._thumbnail_slots = asyncio.Semaphore(MAX_CONCURRENT_THUMBNAILS)
        self.counts = ArchiveCounts()

    @property
    def total_bytes(self) -> int:
        """The total size of all files."""
        return self.files.total_bytes

    async def open(self) -> None:
        """Create the folder, delete unfinished downloads of a crash, and get ready to download.

        Raises:
            ArchiveFolderError: the folder cannot be used.
        """
        await self.files.open()
        self._downloader.open()

    async def close(self) -> None:
        """Close the connections. Cancel calls of `keep` first."""
        await self._downloader.close()

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """Download and store a task's outputs; returns them in the order of `urls`.

        A file that is stored already is not written again, so the call may be repeated.

        Raises:
            ArchiveError: the error of the first file that could not be stored. All files were
                tried; `error.kept` has those that were stored, by position.
        """
        async with asyncio.TaskGroup() as group:
            downloads = [group.create_task(self._keep_or_error(task, url)) for url in urls]
        results = [download.result() for download in downloads]
        errors = [result for result in results if isinstance(result, ArchiveError)]
        kept = tuple(result if isinstance(result, StoredFile) else None for result in results)
        if errors:
            errors[0].kept = kept
            raise errors[0]
        return tuple(file for file in kept if file is not None)

    async def prune(
        self, *, older_than_s: float | None = None, keep_bytes: int | None = None
    ) -> int:
        """Delete old files with their thumbnails, oldest first; returns the number of files.

        The age counts from the last time that a file was kept. Files within the grace period are
        never deleted.

        Args:
            older_than_s: delete files older than this.
            keep_bytes: delete files until the total size is at most this.

        Raises:
            ArchiveFolderError: a file cannot be deleted.
        """
        pruned = await self.files.prune(older_than_s, keep_bytes)
        self.counts.pruned = self.files.pruned
        if pruned:
            log.info("archive.pruned", files=pruned, left_bytes=self.files.total_bytes)
        return pruned

    def set_max_total_bytes(self, max_total_bytes: int | None) -> None:
        """Change the limit for all files; it is applied when the next file is stored."""
        self.files.set_max_total_bytes(max_total_bytes)

    async def discard(self, hashes: Iterable[str], min_age_s: float | None = None) -> int:
        """Delete files by sha256, with their thumbnails, except those within the grace period.

        Args:
            min_age_s: takes the place of the grace period.

        Returns:
            The freed bytes.

        Raises:
            ArchiveFolderError, FileStoreError: a file cannot be deleted.
        """
        freed = await self.files.discard(hashes, min_age_s)
        self.counts.pruned = self.files.pruned
        return freed

    async def find(self, name: str, *, is_thumbnail: bool = False) -> FoundFile | None:
        """A file by its name, "<sha256>" or "<sha256>.<ext>"; None when there is none.

        Any other name gives None without access to the disk.

        Raises:
            FileStoreError: the server that keeps the files does not answer.
        """
        return await self.files.find(name, is_thumbnail=is_thumbnail)

    async def path_of(self, name: str, *, is_thumbnail: bool = False) -> Path | None:
        """The path of a file, as `find`; None when it is not on this machine."""
        found = await self.find(name, is_thumbnail=is_thumbnail)
        return found if isinstance(found, Path) else None

    async def _keep_or_error(self, task: Task, url: str) -> StoredFile | ArchiveError:
        try:
            async with self._slots:
                return await self._keep_one(task, url)
        except ArchiveError as error:
            self.counts.failures[error.reason] += 1
            log.warning(
                "archive.file_failed", task_id=task.id, reason=error.reason, detail=str(error)
            )
            return error

    async def _keep_one(self, task: Task, url: str) -> StoredFile:
        async with self._incoming() as incoming:
            if is_data_url(url):
                limit = self._limits.max_file_bytes
                content = await asyncio.to_thread(decode_data_url, url, limit)
                await asyncio.to_thread(incoming.write, content)
            else:
                await self._downloader.fetch(url, incoming)
            file_type = self._check_type(task, incoming.head)
            stored = await self.files.commit(incoming, file_type)
            self._count(stored)
            return StoredFile(
                sha256=stored.sha256,
                size_bytes=stored.size_bytes,
                content_type=file_type.content_type,
                path=stored.relative,
                thumbnail_path=await self._add_thumbnail(task, stored, file_type),
                source_url=None if is_data_url(url) else url,
            )

    def _check_type(self, task: Task, head: bytes) -> FileType:
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
        self.counts.pruned = self.files.pruned
        if stored.is_new:
            self.counts.kept += 1
            self.counts.kept_bytes += stored.size_bytes
        else:
            self.counts.known += 1

    async def _add_thumbnail(
        self, task: Task, stored: StoredPath, file_type: FileType
    ) -> str | None:
        if not has_thumbnail(file_type):
            return None
        try:
            async with self._thumbnail_slots:
                return await self._draw_thumbnail(stored)
        except (ThumbnailError, ArchiveError) as error:
            # The picture is stored; it is what was paid for.
            self.counts.thumbnail_failures += 1
            log.warning("archive.thumbnail_failed", task_id=task.id, detail=str(error))
            return None

    async def _draw_thumbnail(self, stored: StoredPath) -> str:
        known = None if stored.is_new else await self.files.thumbnail(stored.sha256)
        if known is not None:
            return known
        content = await asyncio.to_thread(thumbnail_of, stored.path)
        return await self.files.add_thumbnail(stored.sha256, content)

    @asynccontextmanager
    async def _incoming(self) -> AsyncIterator[IncomingFile]:
        incoming = self.files.incoming()
        try:
            yield incoming
        finally:
            await asyncio.to_thread(incoming.discard)
