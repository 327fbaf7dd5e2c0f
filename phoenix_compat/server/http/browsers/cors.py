"""Lets pages of other origins use the API and read files: cross-origin resource sharing (CORS).

The pages are those that may open sockets: one setting, `check_origin`, is for both. The response
repeats their origin and never says `*`. Credentials go in the header Authorization, which a page
sets itself; cookies mean nothing here, so that no response allows them.

    OPTIONS /api/…, /files/…     204 for a preflight of an allowed page; 403 for another one
    any response there           readable by an allowed page, problem documents included

A page of another origin that asks without a preflight gets its response without these headers, and
its browser hides it. Long-polling has its own headers, which are Phoenix's.

Source: Fetch standard, sections 3.3 (CORS protocol) and 4.8 (CORS preflight).
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.protocol.origin import CheckOrigin, is_origin_allowed, parse_origin
from phoenix_compat.server.http.browsers.refused_pages import RefusedPages
from phoenix_compat.server.http.problem import ProblemError

CORS_PREFIXES: Final = ("/api/", "/files/")
MAX_AGE_S: Final = 3_600
REQUEST_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key", "X-Owner")
"""The headers that a page may send, besides the ones it asks for."""
EXPOSED_HEADERS: Final = (
    *("Accept-Ranges", "Content-Range", "ETag", "Idempotency-Replayed", "Location"),
    *("Retry-After", "WWW-Authenticate", "X-Request-Id"),
)
"""The headers that a page may read, besides those that the standard always allows."""

_DEFAULT_METHODS: Final = ("GET", "HEAD", "POST")
_MAX_ASKED_HEADERS: Final = 32
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


class CrossOrigin:
    """Answers preflights, and makes responses readable; see the module docstring.

    Args:
        check_origin: the allowed pages.
    """

    def __init__(self, check_origin: CheckOrigin) -> None:
        self._check_origin = check_origin
        self._exposed = ", ".join(EXPOSED_HEADERS)
        self._refused = RefusedPages()

    def answer_preflight(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a preflight; a check. Preflights have no credentials, so they end here."""
        if not _is_preflight(request):
            return None
        if self._allowed_origin(request) is None:
            origin = request.headers[hdrs.ORIGIN]
            detail = (
                f"Pages of {ascii(origin)[:200]} may not use this server. To allow it, name "
                'the origin in the setting `check_origin`, as in ["//example.com"].'
            )
            self._refused.log(origin, 403, detail)
            return ProblemError(403, "origin-not-allowed", detail).response()
        return web.Response(status=204, headers=_preflight_headers(request))

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Make a response readable for an allowed page; for `on_response_prepare`."""
        if not request.path.startswith(CORS_PREFIXES):
            return
        vary = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = hdrs.ORIGIN if vary is None else _with_origin(vary)
        origin = self._allowed_origin(request)
        if origin is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = self._exposed

    def _allowed_origin(self, request: web.Request) -> str | None:
        """The page's origin, if it is allowed; None if not, or if no page of a browser asks."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or not origin.isascii():
            return None
        conn = parse_origin(f"//{request.headers.get(hdrs.HOST, '')}")
        is_allowed = is_origin_allowed(origin, self._check_origin, url_host=None, conn=conn)
        return origin if is_allowed else None


def _is_preflight(request: web.Request) -> bool:
    return (
        request.method == hdrs.METH_OPTIONS
        and request.path.startswith(CORS_PREFIXES)
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def _preflight_headers(request: web.Request) -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(_methods(request)),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(_request_headers(request)),
        hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_S),
        hdrs.VARY: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


def _methods(request: web.Request) -> tuple[str, ...]:
    """The methods of the path: the router has found that OPTIONS is not among them."""
    refusal = request.match_info.http_exception
    if isinstance(refusal, web.HTTPMethodNotAllowed):
        return tuple(sorted(refusal.allowed_methods))
    return _DEFAULT_METHODS


def _request_headers(request: web.Request) -> list[str]:
    """The usual headers and those that the page asks for: the operator has named its origin."""
    names = {name.lower(): name for name in REQUEST_HEADERS}
    asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    for name in asked.split(",", _MAX_ASKED_HEADERS)[:_MAX_ASKED_HEADERS]:
        if _HEADER_NAME.fullmatch(name.strip()):
            names.setdefault(name.strip().lower(), name.strip())
    return list(names.values())


def _with_origin(vary: str) -> str:
    named = {name.strip().lower() for name in vary.split(",")}
    return vary if named & {"origin", "*"} else f"{vary}, {hdrs.ORIGIN}"
