"""Stores the files that clients send as inputs of tasks, and finds them again.

They are in the same store as the outputs, by the hash of their content. A file that is refused, or
whose client goes away, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from phoenix_compat.tasks.archive.content_store import ContentStore
from phoenix_compat.tasks.archive.data_url import DataUrlDecoder, data_url_blocks
from phoenix_compat.tasks.archive.errors import (
    FileTooLargeError,
    RefusedFileError,
    WrongFileError,
)
from phoenix_compat.tasks.archive.file_stores.file_store import FileStore, RemoteFile
from phoenix_compat.tasks.archive.file_type import (
    TYPES_BY_EXTENSION,
    UNKNOWN,
    FileType,
    file_type_of,
    is_html,
)
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.archive.pictures.prepare import (
    can_have_metadata,
    plan_for,
    write_upright,
    write_without_metadata,
)
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput

Register: TypeAlias = Callable[[str, str, int], Awaitable[None]]
"""Records a file that is about to be stored: its sha256, content type and size in bytes."""

MAX_READ_AT_ONCE: Final = 2
"""Pictures that are searched for metadata at the same time; each takes a thread."""

_FAMILIES: Final = frozenset({"image", "audio", "video"})
_NEVER: Final = frozenset({"image/svg+xml"})
"""A picture that can contain scripts and load other files."""


class InputFiles:
    """The files that clients sent.

    Args:
        keeps_metadata: whether pictures are stored as they are, with their metadata.

    Attributes:
        counts: `kept` and `known` (stored already), `cleaned` (of metadata) and `turned` since the
            start, and `refused_` with the reason.
    """

    def __init__(self, files: FileStore, *, keeps_metadata: bool = False) -> None:
        self._files = files
        self._rules = _Rules(
            keeps_metadata, asyncio.Semaphore(MAX_READ_AT_ONCE), asyncio.Semaphore(1)
        )
        self.counts: Counter[str] = Counter()

    async def keep_data_url(self, url: str, limit_bytes: int, register: Register) -> StoredFile:
        """Store the file of a `data:` URL.

        Args:
            register: see `ReceivedFile.keep`.

        Raises:
            RefusedFileError: the file, or the URL, is not accepted.
            ArchiveError: it cannot be stored.
        """
        async with self.receiving(limit_bytes) as incoming:
            await asyncio.to_thread(incoming.write_data_url, url)
            return await incoming.keep(register)

    @asynccontextmanager
    async def receiving(self, limit_bytes: int) -> AsyncIterator[ReceivedFile]:
        """A file that is going to arrive; whatever is not kept is deleted at the end."""
        received = self.begin(limit_bytes)
        try:
            yield received
        finally:
            await asyncio.to_thread(received.discard)

    def begin(self, limit_bytes: int) -> ReceivedFile:
        """A file that is going to arrive. The caller discards it at the end. Does not block."""
        incoming = self._files.incoming()
        return ReceivedFile(self._files, incoming, limit_bytes, self.counts, self._rules)

    def check_free_space(self, more_bytes: int) -> None:
        """See FileStore. Blocks."""
        self._files.check_free_space(more_bytes)

    async def find(self, sha256: str) -> StoredInput | None:
        """The file with a hash; None if it is not stored.

        Raises:
            FileStoreError: the server that keeps the files does not answer.
        """
        found = await self._files.find(sha256)
        if found is None or isinstance(found, Path):
            return None if found is None else await asyncio.to_thread(_stored_at, found)
        return self._stored_elsewhere(sha256, found)

    async def touch(self, sha256: str) -> bool:
        """Protect a file that is used from being pruned soon; returns whether it is stored.

        Raises:
            ArchiveFolderError, FileStoreError: the files cannot be reached.
        """
        return await self._files.touch(sha256)

    def _stored_elsewhere(self, sha256: str, found: RemoteFile) -> StoredInput:
        name = Path(found.name)
        return StoredInput(
            name, _content_type(name), found.size_bytes, partial(self._local_copy, sha256)
        )

    @asynccontextmanager
    async def _local_copy(self, sha256: str) -> AsyncIterator[Path]:
        path = self._files.incoming().path
        try:
            await self._files.fetch(sha256, path)
            yield path
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)


class _Rules(NamedTuple):
    """How pictures are stored.

    Attributes:
        keeps_metadata: whether they are stored as they are.
        reading: lets a few be searched for metadata.
        turning: lets one at a time have its pixels decoded.
    """

    keeps_metadata: bool
    reading: asyncio.Semaphore
    turning: asyncio.Semaphore


class ReceivedFile:
    """A file while it arrives. The methods that are not coroutines block."""

    def __init__(
        self,
        files: FileStore,
        incoming: IncomingFile,
        limit_bytes: int,
        counts: Counter[str],
        rules: _Rules,
    ) -> None:
        self._rules = rules
        self._files = files
        self._incoming = incoming
        self._limit_bytes = limit_bytes
        self._counts = counts
        self._decoder: DataUrlDecoder | None = None

    def write(self, content: bytes) -> None:
        """Append bytes.

        Raises:
            FileTooLargeError: the file is longer than the limit.
            ArchiveError: they cannot be stored.
        """
        with self._counting():
            if self._incoming.size_bytes + len(content) > self._limit_bytes:
                raise FileTooLargeError(self._limit_bytes)
            self._incoming.write(content)

    def write_data_url(self, url: str) -> None:
        """Append the content of a `data:` URL.

        Raises:
            RefusedFileError: it cannot be decoded.
            FileTooLargeError: it is larger than the limit.
            ArchiveError: it cannot be stored.
        """
        with self._counting(), _decoding():
            for block in data_url_blocks(url, self._limit_bytes):
                self._incoming.write(block)

    def begin_data_url(self, head: str) -> None:
        """The content is that of a `data:` URL, of which this is what is before the comma."""
        self._decoder = DataUrlDecoder(head, self._limit_bytes)

    def write_text(self, text: bytes | None) -> None:
        """Append the next part of the text of the `data:` URL; None at its end.

        Raises: as `write_data_url`.
        """
        decoder = self._decoder
        assert decoder is not None  # noqa: S101 - the caller began it
        with self._counting(), _decoding():
            if content := decoder.finish() if text is None else decoder.feed(text):
                self._incoming.write(content)
            if text is None and self._incoming.size_bytes:
                self._incoming.finish()

    def discard(self) -> None:
        """Delete what was not kept."""
        self._incoming.discard()

    async def keep(self, register: Register) -> StoredFile:
        """Check the complete file and store it durably.

        Args:
            register: called before the file gets its name. What it records is there even if this
                process is killed before the file is; a file without a record would stay for ever.

        Raises:
            RefusedFileError: it is not a picture, audio or video, or it is broken.
            ArchiveError: it cannot be stored.
        """
        with self._counting():
            file_type = checked_type(self._incoming.head)
        prepared = self._files.incoming()
        try:
            with self._counting():
                incoming, file_type = await self._prepared(prepared, file_type)
            await register(incoming.sha256, file_type.content_type, incoming.size_bytes)
            stored = await self._files.commit(incoming, file_type)
        finally:
            await asyncio.to_thread(prepared.discard)
        self._counts["kept" if stored.is_new else "known"] += 1
        return StoredFile(
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            content_type=file_type.content_type,
            path=stored.relative,
        )

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except (RefusedFileError, FileTooLargeError) as error:
            self._counts[f"refused_{error.reason}"] += 1
            raise

    async def _prepared(
        self, target: IncomingFile, file_type: FileType
    ) -> tuple[IncomingFile, FileType]:
        """The file to store, and its type: the one that arrived, or one that was made from it."""
        if not can_have_metadata(file_type.content_type):
            return self._incoming, file_type
        path, keeps_metadata = self._incoming.path, self._rules.keeps_metadata
        async with self._rules.reading:
            plan = await asyncio.to_thread(plan_for, path, file_type, keeps_metadata=keeps_metadata)
        if plan.turns:
            async with self._rules.turning:
                turned_type = await asyncio.to_thread(write_upright, path, file_type, target)
            self._counts["turned"] += 1
            return target, turned_type
        if plan.layout is None:
            return self._incoming, file_type
        async with self._rules.reading:
            await asyncio.to_thread(write_without_metadata, path, plan.layout, target)
        self._counts["cleaned"] += 1
        return target, file_type


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except WrongFileError as error:
        reason = "is not a valid data: URL; write data:image/jpeg;base64,… in base64"
        raise RefusedFileError("broken", reason) from error


def find_stored(content_store: ContentStore, sha256: str) -> StoredInput | None:
    """The file with a hash in a folder; None if it is not stored. Blocks."""
    path = content_store.find(sha256)
    return None if path is None else _stored_at(path)


def _stored_at(path: Path) -> StoredInput | None:
    try:
        size_bytes = path.stat().st_size
    except OSError:
        return None  # it was pruned meanwhile
    return StoredInput(path, _content_type(path), size_bytes)


def _content_type(name: Path) -> str:
    return TYPES_BY_EXTENSION.get(name.suffix[1:], UNKNOWN).content_type


def checked_type(head: bytes) -> FileType:
    """The type of a file that begins with these bytes.

    Raises:
        RefusedFileError: clients may not send such files.
    """
    if not head:
        raise RefusedFileError("empty", "is empty; send the bytes of a picture, audio or video")
    file_type = UNKNOWN if is_html(head) else file_type_of(head)
    if file_type.family not in _FAMILIES or file_type.content_type in _NEVER:
        found = "not a picture, audio or video" if file_type is UNKNOWN else file_type.content_type
        raise RefusedFileError(
            "wrong_type",
            f"is {found}, by its first bytes; send JPEG, PNG, WebP, GIF, AVIF, HEIC, MP4, MOV, "
            "WebM, MP3, M4A, WAV, OGG or FLAC",
        )
    return file_type
