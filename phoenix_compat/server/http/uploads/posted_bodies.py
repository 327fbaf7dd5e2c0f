"""Receives bodies of tasks, which may have files inline: those go to the disk as they arrive.

What is left of a body without its files is as short as that of any other task.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final, NamedTuple

from aiohttp import web

from phoenix_compat.server.http.body import body_blocks, read_body
from phoenix_compat.server.http.uploads.json_files import JSONFiles
from phoenix_compat.server.http.uploads.spooled_bodies import (
    too_large,
    too_large_without_files,
    too_many_large_bodies,
)
from phoenix_compat.tasks.archive.errors import FileTooLargeError, RefusedFileError
from phoenix_compat.tasks.archive.input_files import InputFiles, ReceivedFile, Register
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.file_inputs import MAX_FILES

MAX_AT_ONCE: Final = 32
"""Long bodies that arrive at the same time, in this process. Each has a block in memory."""

_BLOCK_BYTES: Final = 128 * 1024


class InlineFile:
    """A file of a body. What is wrong with it is said when it is kept."""

    def __init__(self, received: ReceivedFile) -> None:
        self._received = received
        self._error: RefusedFileError | FileTooLargeError | None = None

    def write(self, text: bytes | None) -> None:
        """Append text of its `data:` URL; None at its end. Blocks; raises ArchiveError."""
        if self._error is not None:
            return
        try:
            self._received.write_text(text)
        except (RefusedFileError, FileTooLargeError) as error:
            self._error = error
            self.discard()

    async def keep(self, register: Register) -> StoredFile:
        """See ReceivedFile.keep."""
        if self._error is not None:
            raise self._error
        return await self._received.keep(register)

    def discard(self) -> None:
        """Delete what was not kept. Blocks."""
        self._received.discard()


class PostedBody(NamedTuple):
    """A complete body.

    Attributes:
        content: the body, with placeholders in place of its files.
        files: by placeholder.
    """

    content: bytes | bytearray
    files: Mapping[str, InlineFile]


class FileLimits(NamedTuple):
    """What files inline may have.

    Attributes:
        max_body_bytes: the limit for a body with its files.
        max_file_bytes: the limit for one file.
    """

    max_body_bytes: int
    max_file_bytes: int


class PostedBodies:
    """The bodies of tasks of this process.

    Args:
        small_bytes: the limit for a body without its files.
        inputs: stores the files; None if no body may have one.

    Attributes:
        counts: `read` and `refused` long bodies since the start.
    """

    def __init__(
        self,
        small_bytes: int,
        inputs: InputFiles | None = None,
        limits: FileLimits = FileLimits(0, 0),  # noqa: B008 - a constant
    ) -> None:
        self._small_bytes = small_bytes
        self._inputs = inputs if limits.max_body_bytes > small_bytes else None
        self._limits = limits
        self._receiving = 0
        self.counts: Counter[str] = Counter()

    @asynccontextmanager
    async def receiving(self, request: web.Request) -> AsyncIterator[PostedBody]:
        """The body of a request; files of it that are not kept are deleted at the end.

        Raises:
            ProblemError: 413, it is too long, with or without its files; 503, too many arrive at
                the same time; and as for `body_blocks`.
            InvalidInputError: it has too many files.
            ArchiveError: a file cannot be stored.
        """
        length_bytes = request.content_length
        is_short = length_bytes is not None and length_bytes <= self._small_bytes
        if self._inputs is None or is_short:
            yield PostedBody(await read_body(request, self._small_bytes), {})
            return
        if (length_bytes or 0) > self._limits.max_body_bytes:
            raise too_large(self._limits.max_body_bytes)
        if self._receiving >= MAX_AT_ONCE:
            self.counts["refused"] += 1
            raise too_many_large_bodies()
        self._receiving += 1
        arriving = _ArrivingBody(self._inputs, self._small_bytes, self._limits.max_file_bytes)
        try:
            await self._read(request, arriving)
            yield PostedBody(arriving.content, arriving.files)
        finally:
            self._receiving -= 1
            await asyncio.to_thread(arriving.discard)

    async def _read(self, request: web.Request, arriving: _ArrivingBody) -> None:
        files = JSONFiles(arriving)
        size_bytes = 0
        async with aclosing(body_blocks(request, _BLOCK_BYTES)) as blocks:
            async for block in blocks:
                size_bytes += len(block)
                if size_bytes > self._limits.max_body_bytes:
                    raise too_large(self._limits.max_body_bytes)
                await asyncio.to_thread(files.feed, block)
        self.counts["read"] += 1


class _ArrivingBody:
    """Takes the parts of a body; see FileSink."""

    def __init__(self, inputs: InputFiles, small_bytes: int, max_file_bytes: int) -> None:
        self.content = bytearray()
        self.files: dict[str, InlineFile] = {}
        self._inputs = inputs
        self._small_bytes = small_bytes
        self._max_file_bytes = max_file_bytes
        self._name = f"inline:{secrets.token_hex(8)}"
        self._current: InlineFile | None = None
        self._is_discarded = False
        self._lock = threading.Lock()

    def rest(self, content: bytes) -> None:
        """See FileSink. Raises ProblemError, 413."""
        self.content += content
        if len(self.content) > self._small_bytes:
            raise too_large_without_files(self._small_bytes)

    def begin_file(self, field: str, head: str) -> bytes:
        """See FileSink. Raises InvalidInputError: too many files."""
        received = self._inputs.begin(self._max_file_bytes)
        received.begin_data_url(head)
        with self._lock:
            if len(self.files) == MAX_FILES or self._is_discarded:
                raise InvalidInputError(field, f"is more than {MAX_FILES} files")
            placeholder = f"{self._name}:{len(self.files)}"
            self._current = self.files[placeholder] = InlineFile(received)
        return placeholder.encode()

    def file_text(self, text: bytes) -> None:
        """See FileSink. Raises ArchiveError: it cannot be stored."""
        if self._current is not None:
            self._current.write(text)

    def end_file(self) -> None:
        """See FileSink. Raises ArchiveError."""
        if self._current is not None:
            self._current.write(None)

    def discard(self) -> None:
        """Delete what was not kept. Blocks. A thread that still reads the body stores no more."""
        with self._lock:
            self._is_discarded = True
        for file in self.files.values():
            file.discard()
