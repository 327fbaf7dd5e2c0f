"""Keeps files in a bucket that several servers share. See `FileStore`.

No lock helps against a server that deletes a file which another one begins to use. So each says
first what it is going to do, and looks then what the others say, which an S3 server shows at once:

    who keeps a file      stores it, or marks it as used; then looks whether it is being deleted
    who deletes a file    marks it as being deleted; then looks how long it was not used

One of both always sees the other: either the file stays, or it is stored again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from phoenix_compat.private_files import open_private
from phoenix_compat.tasks.archive.content_store import (
    FILE_NAME,
    ContentStore,
    ContentStoreLimits,
    StoredPath,
)
from phoenix_compat.tasks.archive.errors import FileStoreError, disk_errors
from phoenix_compat.tasks.archive.file_stores.file_store import FoundFile
from phoenix_compat.tasks.archive.file_stores.s3 import keys
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket, StoredObject
from phoenix_compat.tasks.archive.file_stores.s3.deletion import (
    STALE_S,
    FileObjects,
    objects_of,
)
from phoenix_compat.tasks.archive.file_stores.s3.pruning import BucketPruning
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION, FileType
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.model.clock import Clock

_LOOKS: Final = 25
_LOOK_S: Final = 0.2
"""A file that is being deleted is waited for: so often, so long."""
_EMPTY_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class S3File:
    """A file in a bucket. See RemoteFile."""

    name: str
    size_bytes: int
    modified_at: datetime
    bucket: Bucket
    key: str

    def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """See RemoteFile."""
        return self.bucket.read(self.key, start, end)


class S3Files:
    """The files in a bucket.

    Args:
        bucket: where they are kept.
        local: the folder of this machine where they arrive.
    """

    is_shared = True

    def __init__(
        self, bucket: Bucket, local: ContentStore, limits: ContentStoreLimits, clock: Clock
    ) -> None:
        self.requests = bucket.counts
        self.incoming = local.incoming
        self.check_free_space = local.check_free_space
        self._bucket = bucket
        self._local = local
        self._pruning = BucketPruning(bucket, limits, clock)

    @property
    def total_bytes(self) -> int:
        """See FileStore."""
        return self._pruning.total_bytes

    @property
    def pruned(self) -> int:
        """See FileStore."""
        return self._pruning.pruned

    def set_max_total_bytes(self, max_total_bytes: int | None) -> None:
        """See FileStore."""
        self._pruning.limits = replace(self._pruning.limits, max_total_bytes=max_total_bytes)

    async def open(self) -> None:
        """Create the folder where files arrive; the bucket may be out of reach meanwhile."""
        await asyncio.to_thread(self._local.open)

    async def commit(self, incoming: IncomingFile, file_type: FileType) -> StoredPath:
        """See FileStore."""
        sha256, size_bytes = incoming.sha256, incoming.size_bytes
        key = keys.file_key(sha256, file_type.extension)
        await asyncio.to_thread(incoming.finish)
        is_new = False
        for _ in range(_LOOKS):
            known = await self._bucket.head(key)
            if known is None or known.size_bytes != size_bytes:
                await self._pruning.make_room(size_bytes)
                await self._bucket.put(key, incoming.path, size_bytes, file_type.content_type)
                is_new = True
            else:
                await self._mark_used(sha256)
            found = await self._settled(sha256)
            if any(one.key == key and one.size_bytes == size_bytes for one in found.files):
                break
        else:
            raise self._busy()
        if is_new:
            self._pruning.total_bytes += size_bytes
        return StoredPath(
            path=incoming.path, relative=key, sha256=sha256, size_bytes=size_bytes, is_new=is_new
        )

    async def touch(self, sha256: str) -> bool:
        """See FileStore."""
        if FILE_NAME.fullmatch(sha256) is None or not (await self._objects(sha256)).files:
            return False
        await self._mark_used(sha256)
        return bool((await self._settled(sha256)).files)

    async def add_thumbnail(self, sha256: str, content: bytes) -> str:
        """See FileStore."""
        key = keys.thumbnail_key(sha256)
        content_type = TYPES_BY_EXTENSION["webp"].content_type
        await self._bucket.put(key, content, len(content), content_type)
        self._pruning.total_bytes += len(content)
        return key

    async def thumbnail(self, sha256: str) -> str | None:
        """See FileStore."""
        key = keys.thumbnail_key(sha256)
        return None if await self._bucket.head(key) is None else key

    async def find(self, name: str, *, is_thumbnail: bool = False) -> FoundFile | None:
        """See FileStore."""
        match = FILE_NAME.fullmatch(name)
        if match is None:
            return None
        sha256, extension = match.groups()
        if is_thumbnail:
            is_valid = extension in {None, "webp"}
            found = await self._bucket.head(keys.thumbnail_key(sha256)) if is_valid else None
        elif extension is None:
            found = next(iter((await self._objects(sha256)).files), None)
        else:
            is_valid = extension in TYPES_BY_EXTENSION
            found = await self._bucket.head(keys.file_key(sha256, extension)) if is_valid else None
        return None if found is None else self._file(found)

    async def fetch(self, sha256: str, target: Path) -> None:
        """See FileStore."""
        found = next(iter((await self._objects(sha256)).files), None)
        if found is None:
            raise FileNotFoundError(f"{sha256} is not stored")
        await asyncio.to_thread(self.check_free_space, found.size_bytes)
        digest = hashlib.sha256()
        with disk_errors(target.parent):
            file = await asyncio.to_thread(open_private, target, "xb", is_buffered=False)
            try:
                async for block in self._bucket.read(found.key, 0, found.size_bytes):
                    digest.update(block)
                    await asyncio.to_thread(file.write, block)
            finally:
                await asyncio.to_thread(file.close)
        if digest.hexdigest() != sha256:
            raise FileStoreError(f"{self._bucket.name}: {found.key} is damaged; delete it")

    async def prune(self, older_than_s: float | None, keep_bytes: int | None) -> int:
        """See FileStore."""
        return await self._pruning.prune(older_than_s, keep_bytes)

    async def discard(self, hashes: Iterable[str], min_age_s: float | None = None) -> int:
        """See FileStore."""
        return await self._pruning.discard(hashes, min_age_s)

    def old_hashes(self, older_than_s: float) -> AsyncIterator[frozenset[str]]:
        """See FileStore."""
        return self._pruning.old_hashes(older_than_s)

    async def _mark_used(self, sha256: str) -> None:
        await self._bucket.put(keys.used_key(sha256), b"", 0, _EMPTY_TYPE)

    async def _objects(self, sha256: str) -> FileObjects:
        return await objects_of(self._bucket, sha256)

    async def _settled(self, sha256: str) -> FileObjects:
        """What there is of a file once nobody deletes it."""
        for _ in range(_LOOKS):
            found = await self._objects(sha256)
            if not found.is_being_deleted(STALE_S):
                return found
            await asyncio.sleep(_LOOK_S)
        raise self._busy()

    def _busy(self) -> FileStoreError:
        return FileStoreError(f"{self._bucket.name}: another server is deleting the same file")

    def _file(self, found: StoredObject) -> S3File:
        name = found.key.rpartition("/")[2]
        return S3File(name, found.size_bytes, found.modified_at, self._bucket, found.key)
