"""The other processes of this server, reached by HTTP over their Unix sockets.

What only one of them can answer is sent there, as it came, and its answer back. A request that came
over such a socket is never sent on; if it is at the wrong process too, the answer is 421.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.http_server import reads_raw

MISDIRECTED: Final = 421

_CONNECT_TIMEOUT_S: Final = 2.0
_OF_ONE_CONNECTION: Final = frozenset(
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
# Where aiohttp has unpacked the body, it is none of the encoding any more.
_OF_A_READ_REQUEST: Final = _OF_ONE_CONNECTION | {hdrs.CONTENT_ENCODING.lower()}
# aiohttp writes Date and Server into each answer.
_OF_AN_ANSWER: Final = _OF_ONE_CONNECTION | {hdrs.DATE.lower(), hdrs.SERVER.lower()}


class PeerGoneError(PhoenixCompatError):
    """The peer gave no answer.

    Attributes:
        is_sent: whether it may have carried the request out all the same.
    """

    def __init__(self, node: int, reason: str, *, is_sent: bool) -> None:
        super().__init__(f"process {node} does not answer: {reason}")
        self.is_sent = is_sent


class Peers:
    """How this process sends requests to others; open while its `async with` block lasts.

    Args:
        node: this process's number, below `size`.
        path_of: the Unix socket on which a process answers HTTP.
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
        """The name of a session that lives here, for which others know where to ask."""
        return f"{self.node}.{name}"

    def owner_of(self, session_name: str) -> int | None:
        """The other process in which a session lives; None when there is no such process."""
        node = session_name.partition(".")[0]
        if not (node.isascii() and node.isdigit()) or len(node) > 6:
            return None
        return int(node) if int(node) < self._size and int(node) != self.node else None

    async def forward(self, node: int, request: web.Request, body: bytes | None) -> web.Response:
        """Have another process answer a request; its body was read and is given.

        Raises:
            PeerGoneError: it is not there, or not the right one.
        """
        url = URL(f"http://node{request.raw_path}", encoded=True)
        try:
            async with self._client(node).request(
                request.method,
                url,
                headers=_kept(
                    request.headers,
                    _OF_ONE_CONNECTION if reads_raw(request) else _OF_A_READ_REQUEST,
                ),
                data=body,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientConnectorError as error:
            raise PeerGoneError(node, str(error), is_sent=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise PeerGoneError(node, repr(error), is_sent=True) from error
        if answer.status == MISDIRECTED:
            raise PeerGoneError(node, "it is the wrong one", is_sent=False)
        return web.Response(
            body=content, status=answer.status, headers=_kept(answer.headers, _OF_AN_ANSWER)
        )

    def _client(self, node: int) -> aiohttp.ClientSession:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = aiohttp.ClientSession(
                # As many as there are requests of clients: each waits for one answer.
                connector=aiohttp.UnixConnector(str(self._path_of(node)), limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
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


def is_from_peer(request: web.Request) -> bool:
    """Whether another process of this server sent this."""
    found = None if request.transport is None else request.transport.get_extra_info("socket")
    return found is not None and found.family == socket.AF_UNIX


def _kept(headers: CIMultiDictProxy[str], dropped: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in dropped
    )
