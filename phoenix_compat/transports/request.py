"""An HTTP request as a value, and what is read from it: parameters, origin and connect info.

Source: phoenix 1.8.12, lib/phoenix/socket/transport.ex, connect_info/3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from multidict import MultiMapping

from phoenix_compat.endpoint import TransportOptions
from phoenix_compat.protocol.origin import Origin, parse_origin
from phoenix_compat.protocol.query import Params, decode_query
from phoenix_compat.socket import ConnectInfo
from phoenix_compat.transports.connect_info import SessionOf, add_to_connect_info

_TRACE_CONTEXT = frozenset({"traceparent", "tracestate"})
_SHOWN_INITIALS = frozenset("xXsStT")
"""The first letters of the headers that `connect` may see, for a fast check."""


@dataclass(slots=True)
class HttpRequest:
    """The head of an HTTP request, whatever web framework has received it.

    Attributes:
        method: the method, in upper case.
        path: the path as sent: neither decoded nor normalised.
        query: the part after the question mark, as sent.
        headers: the headers; names in any case. Bytes that are not UTF-8 are surrogates.
        scheme: "http" or "https".
        peer: address and port of the client; both are None if they are not known.
        http_version: major and minor.
        native: the request as the framework has it.
        session_of: finds the framework's session of `native`.
    """

    method: str
    path: str
    query: str
    headers: MultiMapping[str]
    scheme: str
    peer: tuple[str | None, int | None]
    http_version: tuple[int, int]
    native: Any
    session_of: SessionOf

    @property
    def origin(self) -> Origin:
        """Scheme, host and port of the request itself, for `check_origin="conn"`.

        Without a Host header (HTTP/1.0) the host is empty.
        """
        return parse_origin(f"{self.scheme}://{self.headers.get('Host', '')}")


def read_params(request: HttpRequest, path_params: Mapping[str, str]) -> Params:
    """Parse the query as Plug does, and add the path variables, which take precedence.

    Raises:
        BadQueryError: the query is not UTF-8.
    """
    params = decode_query(request.query)
    params.update(path_params)
    return params


async def full_connect_info(
    request: HttpRequest,
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
        request.native,
        options,
        params=params,
        cookie_headers=request.headers.getall("Cookie", ()),
        session_of=request.session_of,
    )
    return info


def connect_info(
    request: HttpRequest, protocols: str | None = None, names: Sequence[str] = ()
) -> ConnectInfo:
    """What `connect` may know about the request; see socket.ConnectInfo.

    Args:
        protocols: the `Sec-WebSocket-Protocol` header without the auth token; None if there is
            none.
        names: the headers to show as `headers`.
    """
    origin = request.origin
    x_headers, sec_websocket_headers, trace_context_headers = _shown(request, protocols)
    address, port = request.peer
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
            "path": request.path,
            "query": request.query,
        },
    )
    if names:
        info["headers"] = [
            (name.lower(), value) for name in names for value in request.headers.getall(name, ())
        ]
    return info


def _shown(
    request: HttpRequest, protocols: str | None
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
