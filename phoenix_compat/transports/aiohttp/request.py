"""Reads an HTTP request for a transport: parameters, origin and connect info.

Source: phoenix 1.8.12, lib/phoenix/socket/transport.ex, connect_info/3.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web

from phoenix_compat.endpoint import TransportOptions
from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.origin import Origin, parse_origin
from phoenix_compat.protocol.query import Params, decode_query
from phoenix_compat.socket import ConnectInfo
from phoenix_compat.transports.connect_info import add_to_connect_info

NO_STORE = {"Cache-Control": "max-age=0, private, must-revalidate"}
"""The headers of every response of Plug."""


_TRACE_CONTEXT = frozenset({"traceparent", "tracestate"})
_SHOWN_INITIALS = frozenset("xXsStT")
"""The first letters of the headers that `connect` may see, for a fast check."""


def refusal(status: int, text: str = "") -> web.Response:
    """A response that refuses a request, with a short text or no body."""
    # The text may quote a header, in which bytes that are not UTF-8 are surrogates.
    text = text.encode("utf-8", "replace").decode()
    return web.Response(status=status, text=text or None, headers=NO_STORE)


def read_params(request: web.Request, path_params: Mapping[str, str]) -> Params:
    """Parse the query as Plug does, and add the path variables, which take precedence.

    Raises:
        BadQueryError: the query is not UTF-8.
    """
    params = decode_query(query_as_sent(request))
    params.update(path_params)
    return params


def path_as_sent(request: web.BaseRequest) -> str:
    """The path without the changes that yarl makes; a target may also be a whole URL."""
    path = request.raw_path.partition("?")[0].partition("#")[0]
    return path if path.startswith("/") else "/" + path.partition("://")[2].partition("/")[2]


def query_as_sent(request: web.BaseRequest) -> str:
    """The query, not decoded."""
    return request.raw_path.partition("?")[2].partition("#")[0]


def request_origin(request: web.Request) -> Origin:
    """Scheme, host and port of the request itself, for `check_origin="conn"`.

    Without a Host header (HTTP/1.0) the host is empty; aiohttp would do a DNS lookup for it.
    """
    return parse_origin(f"{request.scheme}://{request.headers.get('Host', '')}")


async def full_connect_info(
    request: web.Request,
    params: Params,
    options: TransportOptions,
    protocols: str | None = None,
    auth_token: Mapping[str, str | None] = MappingProxyType({}),
) -> ConnectInfo:
    """All that `connect` gets of the request, with the entries of the options; see `connect_info`.

    Args:
        params: the query parameters and the path variables.
        auth_token: the entry for the auth token, if the socket has one.

    Raises:
        Exception: whatever a function in the options raised.
    """
    info = connect_info(request, protocols, options.headers)
    info.update(auth_token)
    await add_to_connect_info(
        info,
        request,
        options,
        params=params,
        cookie_headers=request.headers.getall("Cookie", ()),
        session_of=aiohttp_session_of,
    )
    return info


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


def connect_info(
    request: web.Request, protocols: str | None = None, names: Sequence[str] = ()
) -> ConnectInfo:
    """What `connect` may know about the request; see socket.ConnectInfo.

    Args:
        protocols: the `Sec-WebSocket-Protocol` header without the auth token; None if there is
            none.
        names: the headers to show as `headers`.
    """
    origin = request_origin(request)
    x_headers, sec_websocket_headers, trace_context_headers = _shown(request, protocols)
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address, port = (peer[0], peer[1]) if isinstance(peer, tuple) else (None, None)
    info = ConnectInfo(
        peer_data={"address": address, "port": port, "ssl_cert": None},
        x_headers=x_headers,
        sec_websocket_headers=sec_websocket_headers,
        trace_context_headers=trace_context_headers,
        user_agent=request.headers.get("User-Agent"),
        uri={
            "scheme": request.scheme,
            "host": origin.host,
            "port": origin.port,
            "path": request.rel_url.raw_path,
            "query": query_as_sent(request),
        },
    )
    if names:
        info["headers"] = [
            (name.lower(), value) for name in names for value in request.headers.getall(name, ())
        ]
    return info


def _shown(
    request: web.Request, protocols: str | None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """The headers that begin with `x-` and with `sec-websocket-`, and those of a trace."""
    x_headers, sec_websocket_headers, trace_context_headers = [], [], []
    for name, value in request.headers.items():
        if name[:1] not in _SHOWN_INITIALS:
            continue
        lowered = name.lower()
        if lowered.startswith("x-"):
            x_headers.append((lowered, value))
        elif lowered == "sec-websocket-protocol":
            if protocols is not None:
                sec_websocket_headers.append((lowered, protocols))
        elif lowered.startswith("sec-websocket-"):
            sec_websocket_headers.append((lowered, value))
        elif lowered in _TRACE_CONTEXT:
            trace_context_headers.append((lowered, value))
    return x_headers, sec_websocket_headers, trace_context_headers
