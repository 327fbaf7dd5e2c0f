"""Receives a file that tasks can use as input.

    POST /api/files    the bytes of a picture, audio or video, or multipart/form-data with one file
                       201 {"id", "url", "content_type", "size_bytes"}; 400, 413, 415, 429, 503

The file goes to the disk as it arrives. Its id is made from its content, so the same file has the
same id when it is sent again. Its name and the type that the client says are not used.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol
from urllib.parse import unquote

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from phoenix_compat.http_server import BodyTooSlowError
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.authentication import principal_of
from phoenix_compat.server.http.base_url import base_url_of
from phoenix_compat.server.http.files import file_url
from phoenix_compat.server.http.problem import BUSY_RETRY_AFTER_S, ProblemError
from phoenix_compat.tasks.archive.errors import FileTooLargeError, RefusedFileError
from phoenix_compat.tasks.archive.input_files import InputFiles, ReceivedFile
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.inputs.file_inputs import upload_reference
from phoenix_compat.tasks.store.upload_store import UploadStore

API_FILES_PATH: Final = "/api/files"
MAX_AT_ONCE: Final = 32
"""Files that arrive at the same time, in this process. Each has a block of itself in memory."""

_BLOCK_BYTES: Final = 128 * 1024
_MAX_PARTS: Final = 16
_MAX_FIELD_BYTES: Final = 64 * 1024
_MAX_FRAME_BYTES: Final = 128 * 1024
"""What multipart/form-data may need besides the file, when its length is checked in advance."""
_FORM: Final = "multipart/form-data"
_FAMILIES: Final = frozenset({"image", "audio", "video"})
_BYTES: Final = "application/octet-stream"
_SEPARATOR: Final = re.compile(r"[/\\]")
_PLAIN: Final = frozenset({"", "binary", "7bit", "8bit"})


class FileApi:
    """The handler with its dependencies.

    Args:
        bodies: the counts of bodies that have files inline.
        max_file_bytes: the limit for one file.
    """

    def __init__(
        self,
        inputs: InputFiles,
        uploads: UploadStore,
        bodies: Sequence[Counter[str]],
        max_file_bytes: int,
    ) -> None:
        self._bodies = bodies
        self._inputs = inputs
        self._uploads = uploads
        self._max_file_bytes = max_file_bytes
        self._receiving = 0
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """What happened to files and to bodies with files since the start, for `/healthz`."""
        total = sum(self._bodies, Counter[str]())
        bodies = {f"large_bodies_{name}": count for name, count in total.items()}
        quota = {"refused_quota": self._uploads.refused}
        return {**self._inputs.counts, **self._counts, **bodies, **quota}

    async def receive(self, request: web.Request) -> web.Response:
        """Store the file of a request for its sender's owner."""
        principal = principal_of(request)
        principal.require(Scope.CREATE)
        if self._receiving >= MAX_AT_ONCE:
            self._counts["refused_busy"] += 1
            detail = "Too many files are arriving; try again in a moment."
            retry = {"Retry-After": str(BUSY_RETRY_AFTER_S)}
            raise ProblemError(503, "too-many-files", detail, headers=retry)
        self._receiving += 1
        try:
            stored = await self._store(request, principal.owner)
        finally:
            self._receiving -= 1
        document = {
            "id": upload_reference(stored.sha256),
            "url": file_url(base_url_of(request), stored),
            "content_type": stored.content_type,
            "size_bytes": stored.size_bytes,
        }
        return web.json_response(document, status=201)

    async def _store(self, request: web.Request, owner: str) -> StoredFile:
        if (request.content_length or 0) > self._max_file_bytes + _MAX_FRAME_BYTES:
            raise _too_large(self._max_file_bytes)
        try:
            async with self._inputs.receiving(self._max_file_bytes) as incoming:
                await self._write(request, incoming)
                return await incoming.keep(partial(self._uploads.add, owner))
        except FileTooLargeError as error:
            raise _too_large(error.limit_bytes) from error
        except RefusedFileError as error:
            word = "unsupported-file" if error.reason == "wrong_type" else "invalid-file"
            status = 415 if error.reason == "wrong_type" else 422
            detail = f"The file {error}."
            raise ProblemError(status, word, detail, errors=(("file", str(error)),)) from error

    async def _write(self, request: web.Request, incoming: ReceivedFile) -> None:
        with self._broken_bodies():
            is_form = request.content_type == _FORM
            blocks = _file_of_form(request) if is_form else _body(request)
            async for block in blocks:
                await asyncio.to_thread(incoming.write, block)

    @contextmanager
    def _broken_bodies(self) -> Iterator[None]:
        try:
            yield
        except BodyTooSlowError as error:
            self._counts["cut_off"] += 1
            detail = "The file did not arrive in time; send it without pauses."
            close = {"Connection": "close"}
            raise ProblemError(408, "request-timeout", detail, headers=close) from error
        except web.RequestPayloadError as error:
            self._counts["cut_off"] += 1
            raise ProblemError(400, "bad-request", "The body is broken.") from error


FILE_API: Final = web.AppKey("file_api", FileApi)
"""The key under which an application stores the handler."""


class CountedBodies(Protocol):
    """Reads bodies that have files inline."""

    counts: Counter[str]


def add_file_api(
    app: web.Application,
    inputs: InputFiles,
    uploads: UploadStore,
    bodies: Iterable[CountedBodies],
    max_file_bytes: int,
) -> None:
    """Mount the API on an app that has not started; see FileApi."""
    counts = [one.counts for one in bodies]
    app[FILE_API] = FileApi(inputs, uploads, counts, max_file_bytes)
    app.router.add_post(API_FILES_PATH, app[FILE_API].receive)


def require_file_type(request: web.Request) -> None:
    """Refuse bodies of other types.

    Any web page can send forms without asking; but those of other sites are refused by their
    Origin, see `page_guard`.

    Raises:
        ProblemError: 415.
    """
    if request.method != hdrs.METH_POST or not request.body_exists:
        return
    # Not `request.content_type`: that is application/octet-stream if there is none.
    given = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    if given in {_FORM, _BYTES} or given.partition("/")[0] in _FAMILIES:
        return
    detail = (
        "Send the bytes of the file with its Content-Type, such as image/jpeg, or "
        "multipart/form-data with one file."
    )
    raise ProblemError(415, "unsupported-media-type", detail)


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    async for block in request.content.iter_chunked(_BLOCK_BYTES):
        yield block


async def _file_of_form(request: web.Request) -> AsyncIterator[bytes]:
    """The blocks of the one file of a form; other fields are skipped."""
    has_file = False
    try:
        parts = 0
        async for part in await request.multipart():
            parts += 1
            if parts > _MAX_PARTS or not isinstance(part, BodyPartReader):
                raise _bad_form(f"send at most {_MAX_PARTS} fields, one of them with the file")
            if part.filename is None:
                await _skip(part)
                continue
            if has_file:
                raise _bad_form("send one file in each request")
            has_file = True
            if ".." in _SEPARATOR.split(unquote(part.filename)):
                raise _bad_form("the filename leads to another folder; send it without a path")
            encoding = part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "").strip().lower()
            if encoding not in _PLAIN or hdrs.CONTENT_ENCODING in part.headers:
                raise _bad_form("send the bytes of the file without another encoding")
            while block := await part.read_chunk(_BLOCK_BYTES):
                yield block
    except HttpProcessingError as error:
        raise _bad_form("the headers of a field cannot be read") from error
    except (ValueError, AssertionError) as error:
        raise _bad_form("it is cut off, or its boundary is wrong") from error
    if not has_file:
        raise _bad_form("no field has a file; send one, with a filename")


async def _skip(part: BodyPartReader) -> None:
    size_bytes = 0
    while block := await part.read_chunk(_MAX_FIELD_BYTES):
        size_bytes += len(block)
        if size_bytes > _MAX_FIELD_BYTES:
            raise _bad_form(f"a field without a filename has more than {_MAX_FIELD_BYTES} bytes")


def _too_large(limit_bytes: int) -> ProblemError:
    detail = f"The file may have at most {limit_bytes} bytes; send a smaller one."
    return ProblemError(413, "too-large", detail)


def _bad_form(reason: str) -> ProblemError:
    return ProblemError(400, "bad-form", f"The body is not a valid form: {reason}.")
