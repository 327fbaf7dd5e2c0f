"""The sockets of an endpoint, by their paths."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from phoenix_compat.cluster import Cluster
from phoenix_compat.endpoint import Endpoint, LongPollOptions, MountedSocket, WebSocketOptions
from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.admission import check_all_mounted, check_mount
from phoenix_compat.transports.asgi.client import AsgiClient
from phoenix_compat.transports.asgi.request import request_value, segments_of, send_response
from phoenix_compat.transports.asgi.types import Receive, Scope, Send
from phoenix_compat.transports.asgi.websocket import WebSocketHub
from phoenix_compat.transports.cluster_member import member_of
from phoenix_compat.transports.long_poll import LongPollHub, Sessions
from phoenix_compat.transports.paths import match_segments, segments


class Match(NamedTuple):
    """A socket's transport for a path, and the variables of the path."""

    hub: WebSocketHub | LongPollHub
    path_params: dict[str, str]


class SocketRoutes:
    """Finds and calls the transport for a request. Create it after the sockets were mounted.

    Raises:
        ConfigError: an option of a socket cannot be kept under ASGI.
    """

    def __init__(self, endpoint: Endpoint, cluster: Cluster | None = None) -> None:
        check_mount(endpoint, cluster)
        self.endpoint = endpoint
        self._routes: list[tuple[list[str], WebSocketHub | LongPollHub]] = []
        self._sockets = len(endpoint.sockets)
        self._is_closed = False
        self._joining: asyncio.Task[None] | None = None
        sessions: Sessions = {}
        self._member = member_of(endpoint, cluster)
        for socket in endpoint.sockets:
            for options in socket.transports:
                hub: WebSocketHub | LongPollHub
                if isinstance(options, WebSocketOptions):
                    hub = WebSocketHub(endpoint, socket, options)
                elif isinstance(options, LongPollOptions):
                    hub = self._long_poll_hub(socket, options, sessions)
                else:
                    raise ConfigError(f"there is no transport for {options!r}")
                endpoint.serve(hub)
                self._routes.append((segments(f"{socket.path}/{options.path}"), hub))

    def _long_poll_hub(
        self, socket: MountedSocket, options: LongPollOptions, sessions: Sessions
    ) -> LongPollHub:
        if self._member is None:
            return LongPollHub(self.endpoint, socket, options, sessions)
        hub = LongPollHub(self.endpoint, socket, options, sessions, self._member.sessions)
        self._member.add(hub)
        return hub

    async def open(self) -> None:
        """Join the other processes, and accept clients in the running event loop.

        Raises:
            ConfigError: a socket was added after the routes were made, or the endpoint is open in
                another event loop.
        """
        check_all_mounted(self.endpoint, self._sockets)
        self._is_closed = False
        await self._open_for_request()

    async def _open_for_request(self) -> None:
        """Open for a request, because there may have been no lifespan."""
        if self._member is not None:
            loop = asyncio.get_running_loop()
            if self._joining is None or self._joining.get_loop() is not loop:
                self._joining = loop.create_task(self._member.join())
            await asyncio.shield(self._joining)
        self.endpoint.open(*(hub for _pattern, hub in self._routes))

    async def close(self) -> None:
        """Close all clients; see Endpoint.close."""
        self._is_closed = True
        if self._routes:
            await self.endpoint.close(*(hub for _pattern, hub in self._routes))
        if self._member is not None:
            self._joining = None
            await self._member.leave()

    def match(self, scope: Scope) -> Match | None:
        """The transport for a request; None if no socket has its path.

        A websocket for a long-poll path has none either.
        """
        kind = scope["type"]
        if kind not in {"http", "websocket"}:
            return None
        path = segments_of(scope)
        for pattern, hub in self._routes:
            path_params = match_segments(pattern, path)
            if path_params is not None:
                if kind == "websocket" and isinstance(hub, LongPollHub):
                    return None
                return Match(hub, path_params)
        return None

    async def handle(self, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that has matched."""
        if not (self._is_closed or self.endpoint.is_closing):
            await self._open_for_request()
        hub, path_params = match
        if isinstance(hub, WebSocketHub):
            await hub.handle(scope, receive, send, path_params)
            return
        with AsgiClient(receive, self.endpoint.counters) as client:
            response = await hub.handle(request_value(scope), path_params, client)
            await send_response(response, scope, receive, send)
