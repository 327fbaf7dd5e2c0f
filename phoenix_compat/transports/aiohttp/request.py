"""Requests and responses of aiohttp as the values that the transports share, and back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiohttp import web
from multidict import CIMultiDictProxy

from phoenix_compat.errors import ConfigError
from phoenix_compat.http_server import close_after
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse


class RequestHead(Protocol):
    """What the checks in front of all routes need of a request; aiohttp's requests have it."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers."""

    @property
    def scheme(self) -> str:
        """ "http" or "https"."""

    @property
    def transport(self) -> Any:
        """What tells more about the connection; None if the client is gone."""


def request_value(request: web.Request) -> HttpRequest:
    """The head of a request."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return HttpRequest(
        method=request.method,
        path=path_as_sent(request),
        query=query_as_sent(request),
        headers=request.headers,
        scheme=request.scheme,
        peer=(peer[0], peer[1]) if isinstance(peer, tuple) else (None, None),
        http_version=(request.version.major, request.version.minor),
        native=request,
        session_of=aiohttp_session_of,
    )


def to_aiohttp(request: web.Request, response: HttpResponse) -> web.StreamResponse:
    """A response for aiohttp to send."""
    if response.native is not None:
        native: web.StreamResponse = response.native
        for name, value in response.headers.items():
            native.headers.setdefault(name, value)
        return native
    sent = web.Response(
        status=response.status, headers=response.headers, body=response.body or None
    )
    return close_after(request, sent) if response.closes else sent


def path_as_sent(request: web.BaseRequest) -> str:
    """The path without the changes that yarl makes; a target may also be a whole URL."""
    path = request.raw_path.partition("?")[0].partition("#")[0]
    return path if path.startswith("/") else "/" + path.partition("://")[2].partition("/")[2]


def query_as_sent(request: web.BaseRequest) -> str:
    """The query, not decoded."""
    return query_of(request.raw_path)


def query_of(target: str) -> str:
    """The query of a request's target, not decoded."""
    return target.partition("?")[2].partition("#")[0]


async def aiohttp_session_of(request: web.Request) -> Mapping[str, Any]:
    """The session that aiohttp_session has for the request.

    Nothing is imported: an application with sessions has imported the package already.

    Raises:
        ConfigError: the application has no sessions.
    """
    try:
        session: Mapping[str, Any] = await _aiohttp_session().get_session(request)
    except RuntimeError as error:  # the middleware is missing
        raise ConfigError(_NO_SESSIONS) from error
    return session


async def check_sessions(_app: web.Application) -> None:
    """Refuse to start an application without aiohttp_session, for `session=True`."""
    _aiohttp_session()


def _aiohttp_session() -> Any:
    module = sys.modules.get("aiohttp_session")
    if module is None:
        raise ConfigError(_NO_SESSIONS)
    return module


_NO_SESSIONS: Final = (
    "session=True, but the application has no sessions: call "
    "aiohttp_session.setup(app, storage), or give a function that returns the session of a request"
)
