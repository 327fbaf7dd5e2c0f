"""Sends a file to a client that is on another machine, as `files` does with one of a folder.

It is passed through and not redirected: the bucket need not be public or reachable for clients, and
the headers that sandbox a file stay. Its first block is read before the answer begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Final, NamedTuple

import structlog
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from phoenix_compat.accept import Connections
from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_stores.file_store import RemoteFile

log = structlog.stdlib.get_logger(__name__)

_SEND_TIMEOUT_S: Final = 60.0
"""A client that takes nothing for so long is cut off: a connection to the bucket waits for it."""


class Part(NamedTuple):
    """What a client gets of a file.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        start, end: of the bytes; nothing for the last three.
    """

    status: int
    start: int = 0
    end: int = 0


def requested_part(request: web.BaseRequest, size_bytes: int, modified_at: datetime) -> Part:
    """What a request asks for, whose conditions about tags have been checked and removed.

    Source: RFC 9110, sections 13 and 14, as aiohttp's FileResponse.
    """
    modified_at = modified_at.replace(microsecond=0)  # headers have seconds
    unmodified_since, modified_since = request.if_unmodified_since, request.if_modified_since
    if unmodified_since is not None and modified_at > unmodified_since:
        return Part(412)
    if modified_since is not None and modified_at <= modified_since:
        return Part(304)
    if (if_range := request.if_range) is not None and modified_at > if_range:
        return Part(200, 0, size_bytes)
    try:
        asked = request.http_range
    except ValueError:
        return Part(416)
    if asked.start is None:
        return Part(200, 0, size_bytes)
    if asked.start < 0:
        start, end = max(asked.start + size_bytes, 0), size_bytes
    else:
        start = asked.start
        end = size_bytes if asked.stop is None else min(asked.stop, size_bytes)
    return Part(206, start, end) if start < size_bytes else Part(416)


class RemoteFileResponse(web.StreamResponse):
    """The answer with a file, or with a part of it. `open` it before it is returned.

    Args:
        request: without conditions about tags.
        headers: of an answer with the file.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        found: RemoteFile,
        headers: dict[str, str],
        connections: Connections,
    ) -> None:
        part = requested_part(request, found.size_bytes, found.modified_at)
        super().__init__(status=part.status, headers=headers)
        self._connections = connections
        self._found = found
        self._part = part
        self._first = b""
        self._blocks: AsyncIterator[bytes] | None = None
        self.headers[hdrs.ACCEPT_RANGES] = "bytes"
        if part.status >= 400:
            self.headers.pop(hdrs.CACHE_CONTROL, None)
        if part.status in {200, 206}:
            self.last_modified = found.modified_at
            self.content_length = part.end - part.start
        if part.status in {304, 412, 416}:
            self.headers.pop(hdrs.CONTENT_TYPE, None)
            self.content_length = None if part.status == 304 else 0
        if part.status == 206:
            last = part.end - 1
            self.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{last}/{found.size_bytes}"
        elif part.status == 416:
            self.headers[hdrs.CONTENT_RANGE] = f"bytes */{found.size_bytes}"
        self._has_body = request.method == hdrs.METH_GET and part.end > part.start

    async def open(self) -> None:
        """Read the first block.

        Raises:
            FileStoreError: the server that keeps the file does not answer.
            FileNotFoundError: the file was deleted meanwhile.
        """
        if self._has_body:
            self._blocks = self._found.read(self._part.start, self._part.end)
            self._first = await anext(self._blocks, b"")

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send everything."""
        with self._connections.sending_file():
            writer = await super().prepare(request)
            if self._blocks is not None:
                await self._send(request, self._blocks)
            if self._has_body:
                await self.write_eof()
        return writer

    async def _send(self, request: web.BaseRequest, blocks: AsyncIterator[bytes]) -> None:
        try:
            async with aclosing(blocks):  # type: ignore[type-var] # an async generator
                await self._write(self._first)
                async for block in blocks:
                    await self._write(block)
        except (FileStoreError, FileNotFoundError, TimeoutError) as error:
            # The status is sent already: only the end of the connection says that it is cut off.
            log.warning("files.cut_off", name=self._found.name, reason=str(error) or "slow client")
            if request.transport is not None:
                request.transport.abort()

    async def _write(self, block: bytes) -> None:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await self.write(block)
