"""Headers that protect the browsers which get the task server's responses.

They are on every response, with two exceptions: `/files` has a stricter policy of its own, and
sockets answer exactly as Phoenix does. `http_server` and `accept` write them into the responses
that no handler makes.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.http_server import SAFE_HEADERS, SERVER_NAME
from phoenix_compat.server.http.problem import CONTENT_TYPE
from phoenix_compat.transports.aiohttp.mount import SocketResource

CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of pages of this server: no inline scripts, nothing from elsewhere.
Other responses are not pages, and load nothing."""


async def add_safe_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what is missing, and hide aiohttp's version; for `on_response_prepare`."""
    response.headers[hdrs.SERVER] = SERVER_NAME
    if _is_of_socket(request) and response.content_type != CONTENT_TYPE:
        return
    for name, value in SAFE_HEADERS.items():
        response.headers.setdefault(name, value)


def _is_of_socket(request: web.Request) -> bool:
    return isinstance(request.match_info.route.resource, SocketResource)
