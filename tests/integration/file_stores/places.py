"""The places for files that tests use, each as a server sees it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from phoenix_compat.tasks.archive.content_store import ContentStoreLimits, StoredPath
from phoenix_compat.tasks.archive.file_stores.choice import file_store
from phoenix_compat.tasks.archive.file_stores.file_store import FileStore
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket
from phoenix_compat.tasks.archive.file_stores.s3.location import parse_s3_url
from phoenix_compat.tasks.archive.file_stores.s3.tries import RequestLimits
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION
from phoenix_compat.tasks.model.clock import SystemClock

PNG = TYPES_BY_EXTENSION["png"]
HOUR_S = 3_600.0
FAST = RequestLimits(connect_s=5.0, answer_s=10.0, total_s=20.0, retry_first_s=0.01)


class ClockAhead(SystemClock):
    """A wall clock that tests set forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)


class Place:
    """A place for files.

    Args:
        folder: of this machine; where the files are, if there is no bucket.
        url: of the bucket.
    """

    def __init__(self, folder: Path, url: str | None = None, *, is_shared: bool = False) -> None:
        self._folder = folder
        self._is_shared = is_shared
        self._location = None if url is None else parse_s3_url(url)

    @property
    def is_remote(self) -> bool:
        return self._location is not None

    def bucket(self) -> Bucket:
        """The bucket, with short limits."""
        assert self._location is not None
        return Bucket(self._location, FAST)

    async def server(self, **given: Any) -> FileStore:
        """The files as one more server sees them."""
        clock = given.pop("clock", None) or ClockAhead()
        is_open = given.pop("is_open", True)
        limits: dict[str, Any] = {"max_total_bytes": None, "min_free_bytes": 0, "grace_s": HOUR_S}
        files = file_store(
            self._folder,
            ContentStoreLimits(**limits | given),
            clock,
            self._location,
            is_shared=self._is_shared,
        )
        if is_open:
            await files.open()
        return files


async def keep(files: FileStore, content: bytes = b"picture") -> StoredPath:
    """Keep a file."""
    incoming = files.incoming()
    try:
        await asyncio.to_thread(incoming.write, content)
        return await files.commit(incoming, PNG)
    finally:
        await asyncio.to_thread(incoming.discard)


async def content_of(files: FileStore, name: str, *, is_thumbnail: bool = False) -> bytes | None:
    """What is stored under a name."""
    found = await files.find(name, is_thumbnail=is_thumbnail)
    if found is None or isinstance(found, Path):
        return None if found is None else await asyncio.to_thread(found.read_bytes)
    return b"".join([block async for block in found.read(0, found.size_bytes)])
