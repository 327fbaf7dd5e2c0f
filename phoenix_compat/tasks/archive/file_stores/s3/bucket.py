"""Sends requests to an S3 server, with limits on time and repeats, and says what went wrong.

Every request may be repeated, since a file has the same content under its name each time. A file
that is sent or read is never whole in memory: of one that is sent there are at most two parts of
`PART_BYTES` (about 40 MB with obstore's copies), of `MAX_SENT` files at a time, and about half a
megabyte of one that is read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from phoenix_compat.extras import require
from phoenix_compat.redaction import live_secrets
from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location
from phoenix_compat.tasks.archive.file_stores.s3.tries import RequestLimits, Tries, reason_of

if TYPE_CHECKING:
    from obstore.store import S3Store

PART_BYTES: Final = 8 * 2**20
"""Larger files are sent in parts of this size, two at a time."""
MAX_SENT: Final = 4
"""Files that are sent at the same time; others wait, and fail if that takes too long."""
MAX_REQUESTS: Final = 64
"""Requests without a file at the same time; the same. Files that are read are not counted."""
BLOCK_BYTES: Final = 128 * 1024
"""The least that `read` yields, but for the last block."""

_LIST_CHUNK: Final = 1_000
_CLIENT_TIMEOUT_S: Final = 300
"""obstore's own limit for an answer with all of its body; `read` goes on where it was cut."""

T = TypeVar("T")


class StoredObject(NamedTuple):
    """An object of the bucket; `modified_at` is by the server's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


class Bucket:
    """The objects of a bucket whose keys begin with a prefix; keys are given without it.

    Attributes:
        counts: requests by their kind, `retried` ones, and those that `failed` in the end.
    """

    def __init__(self, location: S3Location, limits: RequestLimits | None = None) -> None:
        """Connect to nothing yet.

        Raises:
            MissingExtraError: obstore is not installed.
        """
        require("s3")
        live_secrets.register(*location.secrets)
        self.name = str(location)
        self.counts: Counter[str] = Counter()
        self._location = location
        self._limits = limits or RequestLimits()
        self._store: S3Store | None = None
        self._sending = asyncio.Semaphore(MAX_SENT)
        self._asking = asyncio.Semaphore(MAX_REQUESTS)

    async def head(self, key: str) -> StoredObject | None:
        """An object; None if there is none."""
        obstore, store = await self._opened()
        try:
            found = await self._ask("head", lambda: obstore.head_async(store, key))
        except FileNotFoundError:
            return None
        return _stored_object(found)

    async def put(
        self, key: str, content: Path | bytes, size_bytes: int, content_type: str
    ) -> None:
        """Store an object, which is there as a whole or not at all."""
        obstore, store = await self._opened()

        def send() -> Awaitable[Any]:
            sending: Awaitable[Any] = obstore.put_async(
                store,
                key,
                content,
                attributes={"Content-Type": content_type},
                use_multipart=size_bytes > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=2,
            )
            return sending

        if not size_bytes:
            await self._ask("put", send)
            return
        more_s = size_bytes / self._limits.min_bytes_per_s
        async with self._turn(self._sending, self._tries("put", more_s)):
            await self._ask("put", send, more_s)

    async def delete(self, key: str) -> None:
        """Delete an object; it need not exist."""
        obstore, store = await self._opened()
        try:
            await self._ask("delete", lambda: obstore.delete_async(store, key))
        except FileNotFoundError:
            return

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of an object from `start` up to `end`, in blocks.

        Raises:
            FileNotFoundError: there is none.
        """
        obstore, store = await self._opened()
        tries = self._tries("get")
        while start < end:
            tries.sent()
            blocks: Any = None
            problem: BaseException | None = None
            while True:
                try:
                    async with asyncio.timeout(tries.timeout_s):
                        if blocks is None:
                            options = {"range": (start, end)}
                            answer = await obstore.get_async(store, key, options=options)
                            blocks = aiter(answer.stream(min_chunk_size=BLOCK_BYTES))
                        block = await anext(blocks, None)
                except (TimeoutError, obstore.exceptions.BaseError) as error:
                    problem = error
                    break
                if block is None:
                    break
                start += len(block)
                yield bytes(block)
                tries.begin()
            if start < end:
                await tries.failed(problem)  # it goes on where the answer was cut off

    async def list(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """All objects below a path, in the order of their keys."""
        obstore, store = await self._opened()
        tries = self._tries("list")
        last: str | None = None
        while True:
            is_complete = False  # after a short chunk comes the end, without a request
            chunks = aiter(obstore.list(store, prefix or None, offset=last, chunk_size=_LIST_CHUNK))
            while True:
                try:
                    async with self._turn(self._asking, tries), asyncio.timeout(tries.timeout_s):
                        if not is_complete:
                            tries.sent()
                        chunk = await anext(chunks, None)
                except FileNotFoundError as error:
                    raise tries.refused(error) from error
                except (TimeoutError, obstore.exceptions.BaseError) as error:
                    await tries.failed(error)
                    break
                if chunk is None:
                    return
                is_complete = len(chunk) < _LIST_CHUNK
                for meta in chunk:
                    one = _stored_object(meta)
                    last = one.key
                    yield one
                tries.begin()

    async def _ask(self, kind: str, ask: Callable[[], Awaitable[T]], more_s: float = 0.0) -> T:
        """Send a request, and again if that may help.

        Args:
            more_s: further time for each try.

        Raises:
            FileNotFoundError: the answer was 404.
        """
        obstore, _ = await self._opened()
        tries = self._tries(kind, more_s)
        while True:
            try:
                async with self._turn(self._asking, tries), asyncio.timeout(tries.timeout_s):
                    tries.sent()
                    return await ask()
            except FileNotFoundError as error:
                if kind == "put":
                    raise tries.refused(error) from error
                raise
            except (TimeoutError, obstore.exceptions.BaseError) as error:
                await tries.failed(error)

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore, tries: Tries) -> AsyncIterator[None]:
        """Wait until so few others are at it. Raises FileStoreError."""
        try:
            async with asyncio.timeout(self._limits.total_s):
                await turns.acquire()
        except TimeoutError as error:
            raise tries.refused(error) from error
        try:
            yield
        finally:
            turns.release()

    def _tries(self, kind: str, more_s: float = 0.0) -> Tries:
        return Tries(self.name, kind, self._limits, self.counts, more_s)

    async def _opened(self) -> tuple[Any, S3Store]:
        if self._store is None:
            self._store = await asyncio.to_thread(self._connect)
        return _obstore(), self._store

    def _connect(self) -> S3Store:
        obstore = _obstore()
        from obstore.store import S3Store  # noqa: PLC0415 - of an extra

        options: dict[str, Any] = dict(self._location.options)
        try:
            return S3Store(
                self._location.bucket,
                prefix=self._location.prefix or None,
                config=options,  # type: ignore[arg-type] # checked by name, in `location`
                client_options={
                    "allow_http": options.get("endpoint", "").startswith("http://"),
                    "connect_timeout": f"{self._limits.connect_s * 1000:.0f}ms",
                    "timeout": f"{_CLIENT_TIMEOUT_S}s",
                },
                retry_config={"max_retries": 0},  # `Tries` repeats, and counts
            )
        except (ValueError, obstore.exceptions.BaseError) as error:
            raise FileStoreError(f"{self.name}: cannot be used: {reason_of(error)}") from error


def _obstore() -> ModuleType:
    import obstore  # noqa: PLC0415 - of an extra
    import obstore.exceptions  # noqa: PLC0415

    return obstore


def _stored_object(meta: Any) -> StoredObject:
    return StoredObject(str(meta["path"]), int(meta["size"]), meta["last_modified"])
