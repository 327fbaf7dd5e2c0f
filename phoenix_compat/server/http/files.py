"""Serves the archived files over HTTP, under names that cannot be guessed.

    GET /files/{sha256}.{ext}                200, 206, 304, 412, 416 or 503
    GET /files/thumbnails/{sha256}.webp      the same

Files never change. The output of a model is not trusted: its type is taken from its bytes, and
browsers must sandbox it and not sniff its type. Whoever knows a file's name may read it, as with
the provider's own addresses.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import structlog
from aiohttp import ETag, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

from phoenix_compat.accept import Connections
from phoenix_compat.server.http.problem import (
    BUSY_RETRY_AFTER_S,
    FULL_RETRY_AFTER_S,
    ProblemError,
)
from phoenix_compat.server.http.remote_files import RemoteFileResponse
from phoenix_compat.server.process.connection_limit import CONNECTIONS, allowed_connections
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION, UNKNOWN
from phoenix_compat.tasks.archive.stored_file import StoredFile

_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


log = structlog.stdlib.get_logger(__name__)


def file_url(public_url: str, stored: StoredFile) -> str:
    """The address of a file for clients; `public_url` is how they reach this server."""
    return f"{public_url.rstrip('/')}/files/{stored.name}"


def thumbnail_url(public_url: str, stored: StoredFile) -> str | None:
    """The address of a file's thumbnail for clients, if it has one."""
    if stored.thumbnail_name is None:
        return None
    return f"{public_url.rstrip('/')}/files/thumbnails/{stored.thumbnail_name}"


def add_file_routes(app: web.Application, archive: Archive) -> None:
    """Mount the routes on an app that has not started."""
    connections = app.get(CONNECTIONS) or Connections(allowed_connections())

    async def show(request: web.Request) -> web.StreamResponse:
        return await _answer(request, archive, connections, is_thumbnail=False)

    async def show_thumbnail(request: web.Request) -> web.StreamResponse:
        return await _answer(request, archive, connections, is_thumbnail=True)

    # The routes match any text, so that every path under /files is answered by a problem document.
    app.router.add_get("/files/thumbnails/{name:(?s:.*)}", show_thumbnail)
    app.router.add_get("/files/{name:(?s:.*)}", show)


async def _answer(
    request: web.Request, archive: Archive, connections: Connections, *, is_thumbnail: bool
) -> web.StreamResponse:
    name = request.match_info["name"]
    sha256, _, extension = name.partition(".")
    try:
        found = await archive.find(name, is_thumbnail=is_thumbnail) if extension else None
    except FileStoreError as error:
        return _unreachable(error)
    if found is None:
        return _not_found()
    headers = {**_HEADERS, hdrs.ETAG: f'"{sha256}"'}
    if _fails_precondition(request, sha256):
        return ProblemError(
            412, "precondition-failed", "The file does not have this ETag."
        ).response()
    if _client_has(request, sha256):
        return web.Response(status=304, headers=headers)
    if not connections.has_room_for_file():
        detail = "Too many files are being sent; try again in a moment."
        retry = {"Retry-After": str(BUSY_RETRY_AFTER_S)}
        return ProblemError(503, "too-many-files", detail, headers=retry).response()
    file_type = TYPES_BY_EXTENSION.get(extension, UNKNOWN)
    headers[hdrs.CONTENT_TYPE] = file_type.content_type
    if isinstance(found, Path):
        return _HashedFile(found, sha256, headers, connections)
    plain = request.clone(headers=_without_tags(request.headers, f'"{sha256}"'))
    response = RemoteFileResponse(plain, found, headers, connections)
    try:
        await response.open()
    except FileStoreError as error:
        return _unreachable(error)
    except FileNotFoundError:
        return _not_found()
    return response


def _not_found() -> web.Response:
    return ProblemError(404, "file-not-found", "There is no file with this name.").response()


def _unreachable(error: FileStoreError) -> web.Response:
    log.warning("files.unreachable", reason=str(error))
    retry = {"Retry-After": str(FULL_RETRY_AFTER_S)}
    detail = "Files cannot be read at the moment; try again later."
    return ProblemError(503, "files-unavailable", detail, headers=retry).response()


def _fails_precondition(request: web.Request, sha256: str) -> bool:
    tags = request.if_match
    if tags is None:
        return False
    return not any(tag.value in {sha256, "*"} and not tag.is_weak for tag in tags)


def _client_has(request: web.Request, sha256: str) -> bool:
    return any(tag.value in {sha256, "*"} for tag in request.if_none_match or ())


class _HashedFile(web.FileResponse):
    """A file whose ETag is its hash; aiohttp's own ETag is made of date and size."""

    def __init__(
        self, path: Path, sha256: str, headers: dict[str, str], connections: Connections
    ) -> None:
        super().__init__(path, headers=headers)
        self._sha256 = sha256
        self._connections = connections

    @property
    def etag(self) -> ETag | None:
        return ETag(value=self._sha256)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        self.headers[hdrs.ETAG] = f'"{self._sha256}"'

    def set_status(self, status: int, reason: str | None = None) -> None:
        super().set_status(status, reason)
        if status >= 400:
            # The file may have been pruned meanwhile; do not let clients cache that for a year.
            self.headers.pop(hdrs.CACHE_CONTROL, None)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        # The conditions have been checked with our ETag; aiohttp would check them with its own.
        headers = _without_tags(request.headers, f'"{self._sha256}"')
        with self._connections.sending_file():
            return await super().prepare(request.clone(headers=headers))


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_date(text: str) -> bool:
    try:
        parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return False
    return True


def _without_tags(given: CIMultiDictProxy[str], tag: str) -> CIMultiDict[str]:
    # A clone of the request can have no bytes that are not UTF-8, which are surrogates here.
    headers = CIMultiDict((name, value) for name, value in given.items() if _is_utf8(name + value))
    if hdrs.IF_MATCH in headers:
        headers.popall(hdrs.IF_UNMODIFIED_SINCE, None)
    if hdrs.IF_NONE_MATCH in headers:
        headers.popall(hdrs.IF_MODIFIED_SINCE, None)
    if_range = headers.get(hdrs.IF_RANGE, "")
    if if_range.endswith('"'):
        headers.popall(hdrs.IF_RANGE)
        if if_range != tag:
            headers.popall(hdrs.RANGE, None)
    for name in (hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE, hdrs.IF_RANGE):
        if name in headers and not _is_date(headers[name]):
            headers.popall(name)  # RFC 9110, section 13.1: ignore it; aiohttp may fail
    headers.popall(hdrs.IF_MATCH, None)
    headers.popall(hdrs.IF_NONE_MATCH, None)
    return headers
