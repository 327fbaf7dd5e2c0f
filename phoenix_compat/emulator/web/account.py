"""Handlers of GET /models/{owner}/{name}, /account and /webhooks/default/secret."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.emulator.predictions.catalog import find_model
from phoenix_compat.emulator.web.request_context import origin_of, state_of

_MODEL_CREATED_AT = "2025-05-01T00:00:00.000Z"


async def get_model(request: web.Request) -> web.Response:
    """A model with its Input and Output schemas."""
    model = find_model(request.match_info["owner"], request.match_info["name"])
    return web.json_response(
        model.document(origin=origin_of(request), created_at=_MODEL_CREATED_AT)
    )


async def get_account(request: web.Request) -> web.Response:
    """The account of the token, which is the same for all tokens."""
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
