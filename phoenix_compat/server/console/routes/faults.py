"""`GET /api/console/faults`: what the emulator can be asked to get wrong, for the playground."""

# ruff: noqa: PLC0415 - with Replicate the emulator's table is not needed

from __future__ import annotations

from aiohttp import web

from phoenix_compat.server.console.context import ConsoleContext, operator_of


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the route."""

    async def show(request: web.Request) -> web.Response:
        operator_of(request)
        if context.settings.has_token:
            return web.json_response({"faults": []})
        from phoenix_compat.emulator.faults.fault_table import FAULTS

        faults = [
            {"name": name, "stage": fault.stage, "description": fault.description}
            for name, fault in FAULTS.items()
        ]
        return web.json_response({"faults": faults})

    router.add_get("/api/console/faults", show)
