"""Serves the OpenAPI document: `GET /openapi.json`.

It is made when it is asked for the first time, and then kept: about 100 kB.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from functools import cache
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.server.http.authentication import AUTHENTICATOR

OPENAPI_PATH: Final = "/openapi.json"

_HEADERS: Final = {hdrs.CACHE_CONTROL: "no-cache"}


def add_openapi_routes(app: web.Application) -> None:
    """Mount the routes on an app that has not started."""
    app.router.add_get(OPENAPI_PATH, _show_document)


async def _show_document(request: web.Request) -> web.Response:
    is_on = request.app[AUTHENTICATOR].is_on
    body, etag = await asyncio.to_thread(_encoded, needs_credentials=is_on)
    headers = {**_HEADERS, hdrs.ETAG: f'"{etag}"'}
    if any(tag.value in {etag, "*"} for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


@cache
def _encoded(*, needs_credentials: bool) -> tuple[bytes, str]:
    """The document as JSON, and its hash."""
    # Not at start-up: it would cost time, and most servers are never asked.
    from phoenix_compat.server.http.openapi.document import openapi_document  # noqa: PLC0415

    document = openapi_document(needs_credentials=needs_credentials)
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return body, hashlib.sha256(body).hexdigest()
