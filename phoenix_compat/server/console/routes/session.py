"""`GET /api/console/session`: whether this credential opens the console, and what for.

A websocket that is refused does not say why, so the page asks here before it connects.
"""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.server.console.context import ConsoleContext, operator_of
from phoenix_compat.server.http.authentication import AUTHENTICATOR
from phoenix_compat.version import __version__


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the route."""

    async def show(request: web.Request) -> web.Response:
        operator = operator_of(request)
        body = {
            "version": __version__,
            "owner": operator.owner,
            "needs_key": request.app[AUTHENTICATOR].is_on,
            "provider": "replicate" if context.settings.has_token else "emulator",
            "processes": context.count(),
        }
        return web.json_response(body)

    router.add_get("/api/console/session", show)
