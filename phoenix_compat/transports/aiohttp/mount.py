"""Mounts the sockets of an endpoint in an aiohttp application.

Paths are matched by their non-empty segments, as in Plug: `/socket/websocket/` and
`//socket//websocket` are the same as `/socket/websocket`. A segment `:name` captures a variable.
Nothing is percent-decoded: `/s%6fcket/websocket` is another path, and a variable keeps its `%2F`.

Differs from Phoenix: a variable is a whole segment; Phoenix has `/x:name` and `*rest` too, and a
name that occurs twice must have the same value there.

Source: phoenix 1.8.12, lib/phoenix/endpoint.ex, socket_path/2 and socket_dispatch/2 (which takes
`conn.path_info` as it is; only the routes of a Phoenix.Router are decoded).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute, UrlMappingMatchInfo
from yarl import URL

from phoenix_compat.endpoint import (
    Endpoint,
    LongPollOptions,
    MountedSocket,
    TransportOptions,
    WebSocketOptions,
)
from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.aiohttp.long_poll import LongPollHub, Sessions
from phoenix_compat.transports.aiohttp.peers import Peers
from phoenix_compat.transports.aiohttp.request import check_sessions, path_as_sent
from phoenix_compat.transports.aiohttp.websocket import WebSocketHub


def mount(app: web.Application, endpoint: Endpoint, *, peers: Peers | None = None) -> None:
    """Serve the endpoint's sockets in an application; they are closed when it shuts down.

    Args:
        peers: the other processes of this server, which may hold long-poll sessions too.
    """
    sessions: Sessions = {}
    for socket in endpoint.sockets:
        for options in socket.transports:
            _mount_transport(app, endpoint, socket, options, sessions=sessions, peers=peers)

    async def close(_app: web.Application) -> None:
        await endpoint.close()

    app.on_shutdown.append(close)


def _mount_transport(  # noqa: PLR0913 - keyword-only after four
    app: web.Application,
    endpoint: Endpoint,
    socket: MountedSocket,
    options: TransportOptions,
    *,
    sessions: Sessions,
    peers: Peers | None,
) -> None:
    hub: WebSocketHub | LongPollHub
    if isinstance(options, WebSocketOptions):
        hub = WebSocketHub(endpoint, socket, options)
    elif isinstance(options, LongPollOptions):
        hub = LongPollHub(endpoint, socket, options, sessions, peers)
    else:
        raise ConfigError(f"there is no transport for {options!r}")
    endpoint.serve(hub)
    if options.session is True:
        app.on_startup.append(check_sessions)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await hub.handle(request, dict(request.match_info))

    app.router.register_resource(SocketResource(f"{socket.path}/{options.path}", handle))


class SocketResource(AbstractResource):
    """One path of a socket, for all HTTP methods; the transport itself refuses the wrong ones."""

    def __init__(self, path: str, handler: Any) -> None:
        super().__init__()
        self._segments = _segments(path)
        self._route = _SocketRoute("*", handler, resource=self)

    @property
    def canonical(self) -> str:
        """The key in the index of aiohttp's router; "/" is tried for every request."""
        return "/"

    def url_for(self, **kwargs: str) -> URL:
        """The path with its variables filled in."""
        return URL.build(
            path="/" + "/".join(kwargs[s[1:]] if s.startswith(":") else s for s in self._segments)
        )

    def add_prefix(self, prefix: str) -> None:
        """Add a prefix to the path, for sub-applications."""
        self._segments = _segments(prefix) + self._segments

    def get_info(self) -> Any:
        """The path, for introspection."""
        return {"path": "/" + "/".join(self._segments)}

    def raw_match(self, path: str) -> bool:
        """Whether this is the resource for that path pattern."""
        return _segments(path) == self._segments

    def _match(self, raw_path: str) -> dict[str, str] | None:
        segments = _segments(raw_path)
        if len(segments) != len(self._segments):
            return None
        captured = {}
        for pattern, segment in zip(self._segments, segments, strict=True):
            if pattern.startswith(":"):
                captured[pattern[1:]] = segment
            elif pattern != segment:
                return None
        return {name: value for name, value in captured.items() if not name.startswith("_")}

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Match a request, for aiohttp's router."""
        found = self._match(path_as_sent(request))
        return (None, set()) if found is None else (UrlMappingMatchInfo(found, self._route), {"*"})

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[AbstractRoute]:
        yield self._route


class _SocketRoute(AbstractRoute):
    @property
    def name(self) -> str | None:
        return None

    def get_info(self) -> Any:
        return {} if self.resource is None else self.resource.get_info()

    def url_for(self, *_args: str, **kwargs: str) -> URL:
        return URL() if self.resource is None else self.resource.url_for(**kwargs)


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
