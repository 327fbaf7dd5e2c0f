"""Mounts the sockets of an endpoint in an aiohttp application.

See `transports.paths` for how paths are matched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute, UrlMappingMatchInfo
from yarl import URL

from phoenix_compat.bounded import brief
from phoenix_compat.cluster import Bus, Cluster
from phoenix_compat.endpoint import (
    Endpoint,
    LongPollOptions,
    MountedSocket,
    TransportOptions,
    WebSocketOptions,
)
from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.admission import check_all_mounted, check_mount
from phoenix_compat.transports.aiohttp.gate import WEBSOCKET_ROUTES, WebSocketRoute
from phoenix_compat.transports.aiohttp.long_poll import AiohttpClient, PeerSessions
from phoenix_compat.transports.aiohttp.peers import Peers
from phoenix_compat.transports.aiohttp.request import (
    check_sessions,
    path_as_sent,
    request_value,
    to_aiohttp,
)
from phoenix_compat.transports.aiohttp.websocket import WebSocketHub
from phoenix_compat.transports.cluster_member import member_of
from phoenix_compat.transports.cluster_sessions import ClusterSessions
from phoenix_compat.transports.long_poll import LongPollHub, OtherProcesses, Sessions
from phoenix_compat.transports.paths import match_segments, segments


def mount(
    app: web.Application,
    endpoint: Endpoint,
    *,
    cluster: Cluster | None = None,
    peers: Peers | None = None,
    bus: Bus | None = None,
) -> None:
    """Serve the endpoint's sockets in an application; they are closed when it shuts down.

    An endpoint may be mounted in several applications: one after the other, as tests do, or at the
    same time in one event loop. Each closes its own clients.

    Args:
        cluster: makes the processes of this machine one server. Not for an endpoint with a bus of
            its own, which connects them too.
        peers: the other processes, which may hold long-poll sessions too, of a server that connects
            them itself, without a cluster.
        bus: the same, where the other processes may be on other machines; the caller opens it.

    Raises:
        ConfigError: the endpoint has no socket yet, or one of its paths is taken already, or it
            has a bus and something that does not go with one.
    """
    given: tuple[Any, Any] = (app, endpoint)
    if not (isinstance(given[0], web.Application) and isinstance(given[1], Endpoint)):
        raise ConfigError(
            f"mount({brief(app)}, {brief(endpoint)}): write mount(app, endpoint), with an "
            "aiohttp.web.Application and an Endpoint; for ASGI write asgi.mount(app, endpoint)"
        )
    check_mount(endpoint, cluster, bus)
    sessions: Sessions = {}
    member = member_of(endpoint, cluster)
    shared = None if member is None else member.sessions
    if bus is not None:
        shared = ClusterSessions()
        shared.attach(bus)
    others: OtherProcesses | None = None if peers is None else PeerSessions(peers)
    if shared is not None:
        others = shared
    hubs = [
        _mount_transport(app, endpoint, socket, options, sessions=sessions, others=others)
        for socket in endpoint.sockets
        for options in socket.transports
    ]
    count = len(endpoint.sockets)

    async def open_hubs(_app: web.Application) -> None:
        check_all_mounted(endpoint, count)
        if member is not None:
            await member.join()
        endpoint.open(*hubs)

    async def close_hubs(_app: web.Application) -> None:
        if hubs:
            await endpoint.close(*hubs)
        if member is not None:
            await member.leave()

    for hub in hubs:
        if isinstance(hub, LongPollHub) and shared is not None:
            (member or shared).add(hub)
    app.on_startup.append(open_hubs)
    app.on_shutdown.append(close_hubs)


def _mount_transport(  # noqa: PLR0913 - keyword-only after four
    app: web.Application,
    endpoint: Endpoint,
    socket: MountedSocket,
    options: TransportOptions,
    *,
    sessions: Sessions,
    others: OtherProcesses | None,
) -> WebSocketHub | LongPollHub:
    hub: WebSocketHub | LongPollHub
    if isinstance(options, WebSocketOptions):
        hub = WebSocketHub(endpoint, socket, options)
        handle = _websocket_handler(hub)
    elif isinstance(options, LongPollOptions):
        hub = LongPollHub(endpoint, socket, options, sessions, others)
        handle = _long_poll_handler(hub)
    else:
        raise ConfigError(f"there is no transport for {options!r}")
    if options.session is True:
        app.on_startup.append(check_sessions)
    path = f"{socket.path}/{options.path}"
    if any(
        isinstance(other, SocketResource) and other.raw_match(path)
        for other in app.router.resources()
    ):
        raise ConfigError(
            f"the path {'/' + '/'.join(segments(path))!r} is mounted in this application already: "
            "call mount(app, endpoint) once, or give the sockets other paths"
        )
    resource = SocketResource(path, handle)
    app.router.register_resource(resource)
    if isinstance(hub, WebSocketHub):
        if WEBSOCKET_ROUTES not in app:
            app[WEBSOCKET_ROUTES] = []
        app[WEBSOCKET_ROUTES].append(WebSocketRoute(resource, hub))
    return hub


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _websocket_handler(hub: WebSocketHub) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await hub.handle(request, dict(request.match_info))

    return handle


def _long_poll_handler(hub: LongPollHub) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = await hub.handle(
            request_value(request), dict(request.match_info), AiohttpClient(request)
        )
        return to_aiohttp(request, response)

    return handle


class SocketResource(AbstractResource):
    """One path of a socket, for all HTTP methods; the transport itself refuses the wrong ones."""

    def __init__(self, path: str, handler: Any) -> None:
        super().__init__()
        self._segments = segments(path)
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
        self._segments = segments(prefix) + self._segments

    def get_info(self) -> Any:
        """The path, for introspection."""
        return {"path": "/" + "/".join(self._segments)}

    def raw_match(self, path: str) -> bool:
        """Whether this is the resource for that path pattern."""
        return segments(path) == self._segments

    def match(self, raw_path: str) -> dict[str, str] | None:
        """The variables of a path that is this one's, as sent; otherwise None."""
        return match_segments(self._segments, segments(raw_path))

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Match a request, for aiohttp's router."""
        found = self.match(path_as_sent(request))
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
