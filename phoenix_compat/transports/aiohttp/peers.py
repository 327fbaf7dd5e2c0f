"""Forwards HTTP requests to the other processes of this server, over their Unix sockets.

A request that only one process can answer is forwarded there unchanged, and its response is sent
back. A request that arrived over such a socket is never forwarded again; if this process cannot
answer it either, the response is 421.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import aiohttp
from aiohttp import ClientTimeout, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.http_server import is_body_raw, when_gone
from phoenix_compat.transports.aiohttp.request import RequestHead, path_as_sent, query_as_sent

MISDIRECTED: Final = 421

_CLIENT_CLOSED_REQUEST: Final = 499
"""A response that nobody gets; the number is nginx's."""
_CONNECT_TIMEOUT_S: Final = 2.0
_HOP_BY_HOP_HEADERS: Final = frozenset(
    name.lower()
    for name in (
        hdrs.CONNECTION,
        hdrs.CONTENT_LENGTH,
        hdrs.EXPECT,
        hdrs.KEEP_ALIVE,
        hdrs.TE,
        hdrs.TRAILER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
    )
)
# A body that aiohttp has decompressed has no Content-Encoding any more.
_NOT_FORWARDED_IF_DECODED: Final = _HOP_BY_HOP_HEADERS | {hdrs.CONTENT_ENCODING.lower()}
# aiohttp writes Date and Server into each response.
_NOT_RETURNED: Final = _HOP_BY_HOP_HEADERS | {hdrs.DATE.lower(), hdrs.SERVER.lower()}


class PeerGoneError(PhoenixCompatError):
    """The peer did not respond.

    Attributes:
        is_sent: whether the peer may have received the request and carried it out.
        is_late: whether the peer is there and has not answered in time.
    """

    def __init__(self, node: int, reason: str, *, is_sent: bool, is_late: bool = False) -> None:
        super().__init__(f"process {node} does not respond: {reason}")
        self.is_sent = is_sent
        self.is_late = is_late


class Peers:
    """The HTTP clients for the other processes; open within an `async with` block.

    Args:
        node: the number of this process, less than `size`.
        path_of: returns the path of a process's Unix socket for HTTP.
    """

    def __init__(self, node: int, size: int, path_of: Callable[[int], Path]) -> None:
        self.node = node
        self._size = size
        self._path_of = path_of
        self._clients: dict[int, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for client in self._clients.values():
            await client.close()

    def session_name(self, name: str) -> str:
        """The name of a session in this process, with the number of the process as its prefix."""
        return f"{self.node}.{name}"

    def owner_of(self, session_name: str) -> int | None:
        """The other process that holds a session; None if no other process holds it."""
        node = session_name.partition(".")[0]
        if not (node.isascii() and node.isdigit()) or len(node) > 6:
            return None
        return int(node) if int(node) < self._size and int(node) != self.node else None

    async def forward(
        self,
        node: int,
        request: web.Request,
        body: bytes | AsyncIterable[bytes] | None,
        added: Mapping[str, str] = MappingProxyType({}),
        *,
        timeout_s: float | None = None,
    ) -> web.Response:
        """Forward a request to another process and return its response.

        Args:
            body: the body, which the caller has already read, or reads while it is forwarded; None
                for a request without one.
            added: headers for the other process, instead of those that the client sent.
            timeout_s: how long the peer may be silent; None leaves it to the supervisor, which
                replaces a process that hangs.

        Raises:
            PeerGoneError: the process does not respond, or is not the right one.
        """
        path, query = path_as_sent(request), query_as_sent(request)
        url = URL(f"http://node{path}?{query}" if query else f"http://node{path}", encoded=True)
        headers = _without(
            request.headers,
            _HOP_BY_HOP_HEADERS if is_body_raw(request) else _NOT_FORWARDED_IF_DECODED,
        )
        for name, value in added.items():
            headers[name] = value
        try:
            async with self._client(node).request(
                request.method,
                url,
                headers=headers,
                data=io.BytesIO(body) if isinstance(body, bytes | bytearray) else body,
                allow_redirects=False,
                timeout=ClientTimeout(
                    total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=timeout_s
                ),
            ) as response:
                content = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise PeerGoneError(node, str(error), is_sent=False) from error
        except TimeoutError as error:
            raise PeerGoneError(node, "no answer in time", is_sent=True, is_late=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise PeerGoneError(node, repr(error), is_sent=True) from error
        if response.status == MISDIRECTED:
            raise PeerGoneError(node, "it is the wrong process", is_sent=False)
        returned = _without(response.headers, _NOT_RETURNED)
        return web.Response(body=content, status=response.status, headers=returned)

    def _client(self, node: int) -> aiohttp.ClientSession:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = aiohttp.ClientSession(
                # No limit of its own: there is one connection per waiting client request.
                connector=aiohttp.UnixConnector(str(self._path_of(node)), limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=(
                    hdrs.ACCEPT,
                    hdrs.ACCEPT_ENCODING,
                    hdrs.CONTENT_TYPE,
                    hdrs.USER_AGENT,
                ),
            )
        return client


async def forward_while_connected(
    peers: Peers, node: int, request: web.Request, body: bytes | None
) -> web.Response:
    """Forward a request as `Peers.forward` does, until its client disconnects.

    Then the other process must not send what the client would miss.
    """
    forwarding = asyncio.ensure_future(peers.forward(node, request, body))
    either: set[asyncio.Future[Any]] = {forwarding, when_gone(request)}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not forwarding.done():
            return web.Response(status=_CLIENT_CLOSED_REQUEST)
        return forwarding.result()
    finally:
        forwarding.cancel()


def is_from_peer(request: RequestHead) -> bool:
    """Whether another process of this server sent the request."""
    sock = None if request.transport is None else request.transport.get_extra_info("socket")
    return sock is not None and sock.family == socket.AF_UNIX


def _without(headers: CIMultiDictProxy[str], dropped: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in dropped
    )
