"""An endpoint as an ASGI application.

Source of what happens at the end: phoenix 1.8.12, lib/phoenix/socket/pool_supervisor.ex.
"""

from __future__ import annotations

import logging

from phoenix_compat.cluster import Cluster
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.asgi.request import send_response
from phoenix_compat.transports.asgi.routes import SocketRoutes
from phoenix_compat.transports.asgi.types import ASGIApplication, Event, Receive, Scope, Send
from phoenix_compat.transports.response import refusal

log = logging.getLogger(__name__)


def app(
    endpoint: Endpoint,
    fallback: ASGIApplication | None = None,
    *,
    cluster: Cluster | None = None,
) -> Application:
    """Make an ASGI application that serves the endpoint's sockets.

    The endpoint is closed when the server shuts the application down.

    Args:
        endpoint: the endpoint; mount its sockets first.
        fallback: the application for all other paths, such as Django's. It gets the lifespan
            events too, if it supports them. None answers other paths with 404.
        cluster: makes the processes of this machine one server. Not for an endpoint with a bus.

    Raises:
        ConfigError: an option of a socket cannot be kept under ASGI.
    """
    return Application(endpoint, fallback, cluster)


class Application:
    """See `app`."""

    def __init__(
        self,
        endpoint: Endpoint,
        fallback: ASGIApplication | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self._routes = SocketRoutes(endpoint, cluster)
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as the ASGI specification says."""
        if scope["type"] == "lifespan":
            await _Lifespan(self._routes, receive, send).run(scope, self._fallback)
            return
        match = self._routes.match(scope)
        if match is not None:
            await self._routes.handle(match, scope, receive, send)
        elif self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif scope["type"] in {"http", "websocket"}:
            await send_response(refusal(404), scope, receive, send)
        else:
            raise ValueError(f"there is no support for ASGI's {scope['type']!r}")


class _Lifespan:
    """Opens the endpoint, and closes it when the server shuts down, before the fallback ends."""

    def __init__(self, routes: SocketRoutes, receive: Receive, send: Send) -> None:
        self._routes = routes
        self._receive_event = receive
        self._send_event = send
        self._is_starting = False
        self._has_answered = False

    async def run(self, scope: Scope, fallback: ASGIApplication | None) -> None:
        """Handle the lifespan events."""
        if fallback is not None:
            try:
                await fallback(scope, self._receive, self._send)
            except Exception as error:
                if self._has_answered:
                    raise
                log.debug("the application for other paths takes no lifespan events: %r", error)
            else:
                if self._has_answered:
                    return
        await self._run_alone()

    async def _receive(self) -> Event:
        """Pass an event to the fallback."""
        event = await self._receive_event()
        if event["type"] == "lifespan.startup":
            await self._open()
            self._is_starting = True
        elif event["type"] == "lifespan.shutdown":
            await self._routes.close()
        return event

    async def _open(self) -> None:
        """Open the endpoint. An error stops the server; servers ignore what is only raised."""
        try:
            await self._routes.open()
        except ConfigError as error:
            self._has_answered = True
            await self._send_event({"type": "lifespan.startup.failed", "message": str(error)})
            raise

    async def _send(self, event: Event) -> None:
        """Pass an answer of the fallback to the server."""
        self._has_answered = True
        await self._send_event(event)

    async def _run_alone(self) -> None:
        """Answer the events without the fallback."""
        while True:
            if not self._is_starting:
                event = await self._receive_event()
                self._is_starting = event["type"] == "lifespan.startup"
                if self._is_starting:
                    await self._open()
            if self._is_starting:
                self._is_starting = False
                await self._send_event({"type": "lifespan.startup.complete"})
                continue
            await self._routes.close()
            await self._send_event({"type": "lifespan.shutdown.complete"})
            return
