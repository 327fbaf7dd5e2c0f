"""What an application with middlewares says about websocket requests before aiohttp has them.

A request that `first_requests` answers never reaches the application's middlewares. So one with
middlewares stores a `Gate` under `GATE`, which lets such a request pass only where every middleware
would.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol

from aiohttp import web
from multidict import CIMultiDictProxy

from phoenix_compat.transports.aiohttp.websocket import WebSocketHub


class HandshakeHead:
    """The head of a GET request for a websocket's path.

    Attributes:
        path, query: as sent.
        headers: the headers.
    """

    __slots__ = ("_socket", "headers", "path", "query")

    scheme = "http"
    method = "GET"

    def __init__(
        self, path: str, query: str, headers: CIMultiDictProxy[str], own: socket.socket
    ) -> None:
        self.path = path
        self.query = query
        self.headers = headers
        self._socket = own

    @property
    def transport(self) -> HandshakeHead:
        """Itself: it knows the connection's addresses as a transport does."""
        return self

    @property
    def remote(self) -> str | None:
        """The IP address of the client; None if it is gone."""
        return self.peer[0]

    @property
    def peer(self) -> tuple[str | None, int | None]:
        """Address and port of the client; both are None if it is gone."""
        name = self.get_extra_info("peername")
        return (None, None) if name is None else (name[0], name[1])

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio.BaseTransport: "peername", "sockname" and "socket"."""
        try:
            if name == "peername":
                return self._socket.getpeername()
            if name == "sockname":
                return self._socket.getsockname()
        except OSError:
            return default
        return self._socket if name == "socket" else default


class Attempt(Protocol):
    """One handshake that passes the gate; `with` it `connect` is called."""

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def repeat(self) -> None:
        """Tell the middlewares what `connect` has told this attempt.

        Called where `connect` would be called, when a refused request goes through them.
        """

    def opened(self, route: str, took_s: float) -> None:
        """Count a websocket that was opened.

        Args:
            route: the pattern of its path.
            took_s: how long the handshake took.
        """


class Gate(Protocol):
    """Decides which requests need not go through the middlewares."""

    def attempt(self, head: HandshakeHead) -> Attempt | None:
        """None for a request that a middleware would refuse, change or log: it sees it then."""


class OpenGate:
    """The gate of an application without middlewares; it is every attempt, too."""

    def attempt(self, head: HandshakeHead) -> OpenGate:
        """See Gate."""
        del head
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def repeat(self) -> None:
        """See Attempt."""

    def opened(self, route: str, took_s: float) -> None:
        """See Attempt."""


class WebSocketRoute(NamedTuple):
    """A path of a mounted socket, and who serves it."""

    resource: Any
    hub: WebSocketHub

    @property
    def path(self) -> str:
        """The pattern of the path."""
        return str(self.resource.get_info()["path"])


GATE: Final[web.AppKey[Gate]] = web.AppKey("handshake_gate")
"""The key under which an application stores its gate."""
FAST_HANDSHAKE: Final = web.AppKey("fast_handshake", bool)
"""The key under which an application says False if aiohttp is to have all requests."""
WEBSOCKET_ROUTES: Final = web.AppKey("websocket_routes", list[WebSocketRoute])
"""The key under which `mount` stores the paths of websockets."""
