"""Reads the bodies of tasks that another process gets, which may have files inline.

They are whole in memory, so that they can be sent again if that process ends. A body of up to
`small_bytes` is read at once. Larger ones are read one after the other in `MAX_AT_ONCE` places. A
few wait for a place; the others, and those that wait too long, are answered with 503.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from phoenix_compat.server.http.body import read_body
from phoenix_compat.server.http.problem import BUSY_RETRY_AFTER_S, ProblemError
from phoenix_compat.tasks.memory import give_memory_back

MAX_AT_ONCE: Final = 2
MAX_WAITING: Final = 16
MAX_WAIT_S: Final = 4.0
"""Less than the process that forwards a request waits for an answer."""

_TRIM_AFTER_S: Final = 1.0
_FILE_MARK: Final = b"data:"


class LargeBodies:
    """The places for large bodies of this process.

    Args:
        small_bytes: the limit for bodies without files.
        max_bytes: the limit for bodies with files; not above `small_bytes` if there are none.

    Attributes:
        counts: `read`, `waited` and `refused` large bodies since the start.
    """

    def __init__(self, small_bytes: int, max_bytes: int, *, max_wait_s: float = MAX_WAIT_S) -> None:
        self.small_bytes = small_bytes
        self._max_bytes = max(max_bytes, small_bytes)
        self._max_wait_s = max_wait_s
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0
        self._trim: asyncio.TimerHandle | None = None
        self.counts: Counter[str] = Counter()

    @asynccontextmanager
    async def reading(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body of a request. A large one has its place until the end of the block.

        Raises:
            ProblemError: 413, it is too long, or is large and has no file; 503, all places are
                taken; and as for `read_body`.
        """
        length_bytes = request.content_length
        if self._max_bytes == self.small_bytes or (
            length_bytes is not None and length_bytes <= self.small_bytes
        ):
            yield await read_body(request, self.small_bytes)
            return
        if length_bytes is not None and length_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        await self._take_place()
        try:
            yield await self._read_large(request)
        finally:
            self._places.release()
            self._give_memory_back()

    async def _read_large(self, request: web.Request) -> bytes:
        body = await read_body(request, self._max_bytes)
        if len(body) > self.small_bytes:
            self.counts["read"] += 1
            if _FILE_MARK not in body:
                raise too_large_without_files(self.small_bytes)
        return body

    def _give_memory_back(self) -> None:
        """Do it once the last of several large bodies is gone."""
        if self._trim is not None:
            self._trim.cancel()
        self._trim = asyncio.get_running_loop().call_later(_TRIM_AFTER_S, give_memory_back)

    async def _take_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        if self._waiting >= MAX_WAITING:
            raise self._busy()
        self.counts["waited"] += 1
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise self._busy() from error
        finally:
            self._waiting -= 1

    def _busy(self) -> ProblemError:
        self.counts["refused"] += 1
        return too_many_large_bodies()


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
