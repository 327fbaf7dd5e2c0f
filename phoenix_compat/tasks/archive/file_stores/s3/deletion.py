"""Deletes one file of a bucket that other servers use too. `s3_files` says how they agree."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_stores.s3 import keys
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket, StoredObject

MAX_DELETION_S: Final = 20.0
"""So long a deletion may take; then it stops, and leaves its mark."""
STALE_S: Final = 60.0
"""A mark that is so much older than what was kept after it is of a server that was killed."""

_EMPTY_TYPE: Final = "application/octet-stream"


@dataclass(slots=True)
class FileObjects:
    """The objects of a bucket that belong to one file.

    Attributes:
        files: the file; more than one if it was stored under several types.
        used: the mark that it was kept again.
        deleting: the marks of those that are deleting it.
    """

    files: list[StoredObject] = field(default_factory=list)
    used: list[StoredObject] = field(default_factory=list)
    deleting: list[StoredObject] = field(default_factory=list)

    def add(self, found: StoredObject, parts: keys.KeyParts) -> None:
        """Add an object by what its key says."""
        if parts.is_file:
            self.files.append(found)
        elif parts.is_deleting:
            self.deleting.append(found)
        else:
            self.used.append(found)

    @property
    def kept_at(self) -> datetime | None:
        """When the file was kept the last time; None if there is nothing of it."""
        return max((one.modified_at for one in (*self.files, *self.used)), default=None)

    def is_being_deleted(self, stale_s: float) -> bool:
        """Whether a server is deleting it, which began at most `stale_s` before it was kept."""
        kept_at = self.kept_at
        if kept_at is None:
            return False
        return any((kept_at - one.modified_at).total_seconds() < stale_s for one in self.deleting)


async def objects_of(bucket: Bucket, sha256: str) -> FileObjects:
    """The objects that belong to one file."""
    found = FileObjects()
    async for one in bucket.list(keys.folder_of(sha256)):
        parts = keys.key_parts(one.key)
        if parts is not None and parts.sha256 == sha256:
            found.add(one, parts)
    return found


class Deletion:
    """Deletes one file, if nobody has kept it lately."""

    def __init__(self, bucket: Bucket, sha256: str) -> None:
        self._bucket = bucket
        self._sha256 = sha256
        self._mark = keys.deleting_key(sha256, secrets.token_hex(8))

    async def run(self, min_age_s: float) -> int | None:
        """Delete the file and its thumbnail; returns its size, or None if it stays.

        Args:
            min_age_s: how long nobody may have kept it, by the server's clock.

        Raises:
            FileStoreError: it may be there or not.
        """
        try:
            async with asyncio.timeout(MAX_DELETION_S):
                size_bytes = await self._delete(min_age_s)
        except TimeoutError as error:
            # A request may still arrive, so the mark stays until it is stale.
            raise FileStoreError(
                f"{self._bucket.name}: a file was not deleted within {MAX_DELETION_S:g} s"
            ) from error
        await self._bucket.delete(self._mark)
        return size_bytes

    async def _delete(self, min_age_s: float) -> int | None:
        ends_at_s = time.monotonic() + MAX_DELETION_S
        await self._bucket.put(self._mark, b"", 0, _EMPTY_TYPE)
        found = await objects_of(self._bucket, self._sha256)
        now = next((one.modified_at for one in found.deleting if one.key == self._mark), None)
        if now is None:
            raise FileStoreError(f"{self._bucket.name}: does not list what was just stored")
        kept_at = found.kept_at
        if kept_at is not None and (now - kept_at).total_seconds() < min_age_s:
            return None
        # As in a folder, the thumbnail goes first.
        thumbnail = keys.thumbnail_key(self._sha256)
        gone = (*found.files, *found.used, *self._stale(found, now))
        for key in (thumbnail, *(one.key for one in gone)):
            if time.monotonic() > ends_at_s:  # a process that was stopped is ahead of its timers
                raise TimeoutError
            await self._bucket.delete(key)
        return sum(one.size_bytes for one in found.files)

    def _stale(self, found: FileObjects, now: datetime) -> list[StoredObject]:
        """The marks of servers that were killed."""
        return [one for one in found.deleting if (now - one.modified_at).total_seconds() > STALE_S]
