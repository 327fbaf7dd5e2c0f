"""Reads the bodies of tasks that another process gets, which may have files inline.

A short one is in memory. A long one goes to a file without a name, so that it can be sent again if
that process ends, and is never whole in memory.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Final

from aiohttp import web

from phoenix_compat.private_files import write_all
from phoenix_compat.server.http.body import body_blocks, read_body
from phoenix_compat.server.http.problem import BUSY_RETRY_AFTER_S, ProblemError
from phoenix_compat.tasks.archive.errors import ArchiveError

MAX_AT_ONCE: Final = 32
"""Long bodies that arrive at the same time, in this process. Each has a block in memory."""

_BLOCK_BYTES: Final = 128 * 1024


class ReadBody:
    """A complete body, which can be read several times.

    Args:
        short: the body, if it is short.
        file: the body, if it is long.
    """

    def __init__(self, short: bytes | None = None, file: IO[bytes] | None = None) -> None:
        self._short = short
        self._file = file

    @property
    def is_long(self) -> bool:
        """Whether it is in a file."""
        return self._file is not None

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """The body from its beginning; None if there is none."""
        return self._short if self._file is None else _blocks(self._file)


async def _blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
        yield block


class SpooledBodies:
    """The bodies of tasks that come to this process.

    Args:
        small_bytes: the limit for bodies without files.
        max_bytes: the limit for bodies with files; not above `small_bytes` if there are none.
        folder: for the files of long bodies.
        check_free_space: raises ArchiveError when that many more bytes do not fit.

    Attributes:
        counts: `read` and `refused` long bodies since the start.
    """

    def __init__(
        self,
        small_bytes: int,
        max_bytes: int,
        folder: Path,
        check_free_space: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        self._small_bytes = small_bytes
        self._max_bytes = max(max_bytes, small_bytes)
        self._folder = folder
        self._check_free_space = check_free_space
        self._receiving = 0
        self.counts: Counter[str] = Counter()

    @asynccontextmanager
    async def reading(self, request: web.Request) -> AsyncIterator[ReadBody]:
        """The body of a request; it can be read until the end of the block.

        Raises:
            ProblemError: 413, it is too long; 503, too many arrive at the same time, or it cannot
                be stored; and as for `body_blocks`.
        """
        length_bytes = request.content_length
        is_short = length_bytes is not None and length_bytes <= self._small_bytes
        if self._max_bytes == self._small_bytes or is_short:
            yield ReadBody(await read_body(request, self._small_bytes))
            return
        if (length_bytes or 0) > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._receiving >= MAX_AT_ONCE:
            self.counts["refused"] += 1
            raise too_many_large_bodies()
        self._receiving += 1
        try:
            with _storing():
                file = await asyncio.to_thread(_temporary, self._folder)
            with file:
                await self._read(request, file)
                yield ReadBody(file=file)
        finally:
            self._receiving -= 1

    async def _read(self, request: web.Request, file: IO[bytes]) -> None:
        size_bytes = 0
        async with aclosing(body_blocks(request, _BLOCK_BYTES)) as blocks:
            async for block in blocks:
                size_bytes += len(block)
                if size_bytes > self._max_bytes:
                    raise too_large(self._max_bytes)
                with _storing():
                    await asyncio.to_thread(self._write, file, block)
        self.counts["read"] += 1

    def _write(self, file: IO[bytes], block: bytes) -> None:
        self._check_free_space(len(block))
        write_all(file, block)


def _temporary(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder, buffering=0)


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except (OSError, ArchiveError) as error:
        detail = "The body cannot be stored at the moment; try again later."
        retry = {"Retry-After": str(BUSY_RETRY_AFTER_S)}
        raise ProblemError(503, "storage-full", detail, headers=retry) from error


def too_large_without_files(limit_bytes: int) -> ProblemError:
    """413 for a body that is long without its files."""
    detail = (
        f"The body may have at most {limit_bytes} bytes, not counting files that are inline as "
        "data: URLs."
    )
    return ProblemError(413, "too-large", detail)


def too_large(limit_bytes: int) -> ProblemError:
    """413 for a body that is long with its files."""
    detail = (
        f"The body may have at most {limit_bytes} bytes with files inline; send larger files with "
        "POST /api/files, and write their ids."
    )
    return ProblemError(413, "too-large", detail)


def too_many_large_bodies() -> ProblemError:
    """503 for a body that comes with too many others."""
    detail = (
        "Too many bodies with files are arriving; try again in a moment, or send the files with "
        "POST /api/files."
    )
    retry = {"Retry-After": str(BUSY_RETRY_AFTER_S)}
    return ProblemError(503, "too-many-large-bodies", detail, headers=retry)
