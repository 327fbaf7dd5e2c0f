"""Serves the page that shows the OpenAPI document and sends requests by it: `GET /docs`.

    GET /docs           the page
    GET /docs/<name>    what it loads: Swagger UI, which is in the package, and a few lines of ours

Swagger UI was chosen over RapiDoc, which is half as large and has had no release for a year. It is
stored compressed (0.5 MB, unpacked 1.9 MB), and unpacked only for clients that do not accept gzip.
The files are read when they are asked for, and not kept.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from phoenix_compat.server.http.browsers.response_headers import CONSOLE_POLICY
from phoenix_compat.server.http.problem import ProblemError

DOCS_PATH: Final = "/docs"

STATIC: Final = Path(__file__).parent / "static"

_PAGE: Final = "docs.html"


class _File(NamedTuple):
    """A file of the page; its name below `static/` and its type."""

    stored_as: str
    content_type: str

    @property
    def is_compressed(self) -> bool:
        return self.stored_as.endswith(".gz")


FILES: Final = {
    _PAGE: _File(_PAGE, "text/html"),
    "docs.js": _File("docs.js", "text/javascript"),
    "docs.css": _File("docs.css", "text/css"),
    "swagger-ui.css": _File("vendor/swagger-ui.css.gz", "text/css"),
    "swagger-ui-bundle.js": _File("vendor/swagger-ui-bundle.js.gz", "text/javascript"),
}
"""All files by their names in the addresses."""

_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
    "Content-Security-Policy": CONSOLE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


def add_docs_routes(app: web.Application) -> None:
    """Mount the routes on an app that has not started."""
    app.router.add_get(DOCS_PATH, _show_page)
    app.router.add_get(f"{DOCS_PATH}/{{name}}", _show_file)


async def _show_page(request: web.Request) -> web.Response:
    return await _show(request, FILES[_PAGE])


async def _show_file(request: web.Request) -> web.Response:
    file = FILES.get(request.match_info["name"])
    if file is None:
        return ProblemError(404, "not-found", "The page has no file with this name.").response()
    return await _show(request, file)


async def _show(request: web.Request, file: _File) -> web.Response:
    etag = await asyncio.to_thread(_etag, file)
    headers = {**_HEADERS, hdrs.ETAG: f'"{etag}"'}
    if any(tag.value == etag for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    content = await asyncio.to_thread(_read, file)
    if file.is_compressed:
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        else:
            content = await asyncio.to_thread(gzip.decompress, content)
    return web.Response(
        body=content, headers=headers, content_type=file.content_type, charset="utf-8"
    )


def _read(file: _File) -> bytes:
    return (STATIC / file.stored_as).read_bytes()


@cache
def _etag(file: _File) -> str:
    return hashlib.sha256(_read(file)).hexdigest()[:32]
