"""Keeps files in a folder: of this server alone, or one that several servers have mounted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from phoenix_compat.tasks.archive.content_store import ContentStore, StoredPath
from phoenix_compat.tasks.archive.file_stores.file_store import BATCH_SIZE, FoundFile
from phoenix_compat.tasks.archive.file_type import FileType
from phoenix_compat.tasks.archive.incoming_file import IncomingFile


class FolderFiles:
    """The files of a `ContentStore`, whose methods run in threads. See FileStore."""

    def __init__(self, content_store: ContentStore) -> None:
        self._content_store = content_store
        self.is_shared = content_store.is_shared
        self.requests: Counter[str] = Counter()
        self.incoming = content_store.incoming
        self.check_free_space = content_store.check_free_space
        self.set_max_total_bytes = content_store.set_max_total_bytes

    @property
    def total_bytes(self) -> int:
        """See FileStore."""
        return self._content_store.total_bytes

    @property
    def pruned(self) -> int:
        """See FileStore."""
        return self._content_store.pruned

    async def open(self) -> None:
        """See FileStore."""
        await asyncio.to_thread(self._content_store.open)

    async def commit(self, incoming: IncomingFile, file_type: FileType) -> StoredPath:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.commit, incoming, file_type)

    async def touch(self, sha256: str) -> bool:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.touch, sha256)

    async def add_thumbnail(self, sha256: str, content: bytes) -> str:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.add_thumbnail, sha256, content)

    async def thumbnail(self, sha256: str) -> str | None:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.thumbnail, sha256)

    async def find(self, name: str, *, is_thumbnail: bool = False) -> FoundFile | None:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.find, name, is_thumbnail=is_thumbnail)

    async def fetch(self, sha256: str, target: Path) -> None:
        """Not needed: the files are on this machine."""
        raise FileNotFoundError(f"{sha256} is not on another machine, so {target} is not written")

    async def prune(self, older_than_s: float | None, keep_bytes: int | None) -> int:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.prune, older_than_s, keep_bytes)

    async def discard(self, hashes: Iterable[str], min_age_s: float | None = None) -> int:
        """See FileStore."""
        return await asyncio.to_thread(self._content_store.discard, hashes, min_age_s)

    async def old_hashes(self, older_than_s: float) -> AsyncIterator[frozenset[str]]:
        """See FileStore."""
        found = await asyncio.to_thread(self._content_store.old_hashes, older_than_s)
        for start in range(0, len(found), BATCH_SIZE):
            yield frozenset(found[start : start + BATCH_SIZE])
