"""Outgoing webhooks, under `/api/console`.

GET  /api/console/webhooks           what each got, what waits, and why one is disabled
POST /api/console/webhooks/replay    {"name"}: send again what was given up, and enable it
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from phoenix_compat.server.console.context import ConsoleContext, operator_of
from phoenix_compat.server.console.routes.keys import MAX_BODY_BYTES
from phoenix_compat.server.control import webhook_commands as commands
from phoenix_compat.server.control.messages import ControlError
from phoenix_compat.server.http.body import parsed_json, read_body
from phoenix_compat.server.http.problem import ProblemError


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the routes."""
    engine = context.engine
    handlers = commands.webhook_commands(engine.store, engine.settings, engine.wake_webhooks)

    async def show(request: web.Request) -> web.Response:
        operator_of(request)
        return web.json_response({"webhooks": await handlers[commands.LIST]({})})

    async def replay(request: web.Request) -> web.Response:
        operator_of(request)
        body = parsed_json(await read_body(request, MAX_BODY_BYTES))
        if not isinstance(body, dict):
            raise ProblemError(422, "invalid-input", 'The body must be like {"name": "shop"}.')
        try:
            return web.json_response(await handlers[commands.REPLAY](body))
        except (ControlError, msgspec.ValidationError) as error:
            text = str(error)
            raise ProblemError(422, "invalid-input", f"{text[:1].upper()}{text[1:]}.") from error

    router.add_get("/api/console/webhooks", show)
    router.add_post("/api/console/webhooks/replay", replay)
