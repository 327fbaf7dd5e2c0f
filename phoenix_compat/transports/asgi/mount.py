"""Mounts the sockets of an endpoint in an application of Starlette or FastAPI."""

# ruff: noqa: PLC0415 - Starlette is imported only where the user already has it

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from phoenix_compat.cluster import Cluster
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.asgi.routes import SocketRoutes

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


def mount(app: Any, endpoint: Endpoint, *, cluster: Cluster | None = None) -> None:
    """Serve the endpoint's sockets in an application of Starlette or FastAPI.

    Their paths come before the application's own routes, inside its middlewares. The endpoint is
    closed when the application shuts down, before the rest of its lifespan.

    Args:
        app: the application.
        endpoint: the endpoint; mount its sockets first.
        cluster: makes the processes of this machine one server. Not for an endpoint with a bus.

    Raises:
        ConfigError: the application is of another framework, or an option of a socket cannot be
            kept under ASGI.
    """
    router: Any = getattr(app, "router", None)
    if not (hasattr(router, "lifespan_context") and hasattr(router, "routes")):
        raise ConfigError(
            f"asgi.mount needs an application of Starlette or FastAPI, got {type(app).__name__}; "
            "write phoenix_compat.asgi.app(endpoint, fallback=app) for other ASGI applications, "
            "and phoenix_compat.mount(app, endpoint) for aiohttp"
        )
    routes = SocketRoutes(endpoint, cluster)
    router.routes.insert(0, _route(routes))
    inner = router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inner(app) as state:
            await routes.open()
            try:
                yield state
            finally:
                await routes.close()

    router.lifespan_context = lifespan


def _route(routes: SocketRoutes) -> BaseRoute:
    """One route for all sockets."""
    from starlette.routing import BaseRoute, Match, NoMatchFound

    class SocketRoute(BaseRoute):
        def matches(self, scope: Any) -> tuple[Match, Any]:
            match = routes.match(scope)
            if match is None:
                return Match.NONE, {}
            return Match.FULL, {"endpoint": self, "path_params": match.path_params}

        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            match = routes.match(scope)
            if match is not None:
                await routes.handle(match, scope, receive, send)

        def url_path_for(self, name: str, /, **path_params: Any) -> Any:
            raise NoMatchFound(name, path_params)

    return SocketRoute()
