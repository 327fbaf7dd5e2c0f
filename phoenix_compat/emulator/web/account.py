"""GET /models/{owner}/{name}, GET /account and GET /webhooks/default/secret."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.emulator.predictions.catalog import find_model
from phoenix_compat.emulator.web.request_context import origin_of, state_of

_LONG_AGO = "2025-05-01T00:00:00.000Z"


async def get_model(request: web.Request) -> web.Response:
    """A model with its Input and Output schemas."""
    model = find_model(request.match_info["owner"], request.match_info["name"])
    return web.json_response(model.document(origin=origin_of(request), created_at=_LONG_AGO))


async def get_account(request: web.Request) -> web.Response:
    """Who the token belongs to: nobody in particular."""
    account = {
        "type": "user",
        "username": "emulated",
        "name": "Emulated account",
        "avatar_url": None,
        "github_url": f"{origin_of(request)}/emulated",
    }
    return web.json_response(account)


async def get_webhook_secret(request: web.Request) -> web.Response:
    """The secret that webhooks are signed with."""
    return web.json_response({"key": state_of(request).settings.webhook_secret})
