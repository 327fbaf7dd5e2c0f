"""Serves the files of `static/` at `/console`, from memory and compressed beforehand.

    GET /console                   the page; its hash chooses the screen
    GET /console/static/<name>     scripts, styles and licences
    GET /favicon.ico, .svg         the icon

A browser asks each time whether a file has changed (ETag), so that an upgrade shows at once.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.script_bundle import BUNDLE, bundle_of
from phoenix_compat.server.http.browsers.response_headers import CONSOLE_POLICY
from phoenix_compat.server.http.problem import ProblemError

CONSOLE_PATH: Final = "/console"

_FOLDER: Final = "static"
_PAGE: Final = "index.html"
_STYLES: Final = "console.css"
_ICON: Final = "icon.svg"
_TYPES: Final = {".js": "text/javascript", ".LICENSE": "text/plain", ".md": "text/plain"}
_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
    "Content-Security-Policy": CONSOLE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent.

    Attributes:
        etag: the hash of the content.
    """

    content: bytes
    compressed: bytes
    content_type: str
    etag: str

    def response(self, request: web.Request) -> web.Response:
        """200 with the file, or 304 if the browser has it."""
        headers = {**_HEADERS, hdrs.ETAG: f'"{self.etag}"'}
        if any(tag.value == self.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        body = self.content
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            body = self.compressed
        return web.Response(
            body=body, headers=headers, content_type=self.content_type, charset="utf-8"
        )


class StaticFiles:
    """The files by their names below `static/`, read when the first one is asked for."""

    def __init__(self) -> None:
        self._files: Mapping[str, StaticFile] | None = None
        self._reading = asyncio.Lock()

    async def find(self, name: str) -> StaticFile | None:
        """The file with this name; None if there is none."""
        async with self._reading:
            if self._files is None:
                self._files = await asyncio.to_thread(read_static_files)
        return self._files.get(name)


def read_static_files() -> Mapping[str, StaticFile]:
    """Read and compress all files; blocking, for some tens of milliseconds."""
    folder = resources.files("phoenix_compat.server.console") / _FOLDER
    contents = {name: file.read_bytes() for name, file in _walk(folder, "")}
    scripts = {name: content.decode() for name, content in contents.items() if name.endswith(".js")}
    contents[BUNDLE] = bundle_of(scripts).encode()
    contents[_STYLES] = _compact(contents[_STYLES].decode()).encode()
    return {name: _static_file(name, content) for name, content in contents.items()}


def _compact(styles: str) -> str:
    """Styles without comments and without the white space that is for people."""
    spaced = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", styles, flags=re.DOTALL))
    return re.sub(r" ?([{};,>]) ?", r"\1", spaced).strip()


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _static_file(name: str, content: bytes) -> StaticFile:
    suffix = name[name.rfind(".") :]
    content_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return StaticFile(
        content,
        gzip.compress(content, mtime=0),
        content_type,
        hashlib.sha256(content).hexdigest()[:32],
    )


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the routes of the page and of what it loads."""
    del context
    files = StaticFiles()

    async def show(request: web.Request, name: str) -> web.Response:
        found = await files.find(name)
        if found is None:
            detail = "The console has no file with this name."
            return ProblemError(404, "not-found", detail).response()
        return found.response(request)

    async def page(request: web.Request) -> web.Response:
        return await show(request, _PAGE)

    async def file(request: web.Request) -> web.Response:
        return await show(request, request.match_info["name"])

    async def icon(request: web.Request) -> web.Response:
        return await show(request, _ICON)

    router.add_get(CONSOLE_PATH, page)
    router.add_get(f"{CONSOLE_PATH}/static/{{name:.+}}", file)
    router.add_get("/favicon.ico", icon)
    router.add_get("/favicon.svg", icon)
