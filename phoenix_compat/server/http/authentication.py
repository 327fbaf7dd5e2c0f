"""Finds out who sent a request to the API, before its handler runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.server.auth.principal import ANYONE, Principal
from phoenix_compat.server.http.problem import API_PREFIX

Authenticate: TypeAlias = Callable[[web.Request], Awaitable[Principal]]
"""Returns the sender of a request. Raises ProblemError: 401 or 403, with the way out."""

_PRINCIPAL: Final = web.RequestKey("principal", Principal)


async def anyone(_request: web.Request) -> Principal:
    """Authenticate nobody: every client may do everything."""
    return ANYONE


def authenticating(authenticate: Authenticate) -> Middleware:
    """Build the middleware of the API; it must be inside `problem_middleware`."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(API_PREFIX):
            request[_PRINCIPAL] = await authenticate(request)
        return await handler(request)

    return check


def principal_of(request: web.Request) -> Principal:
    """The sender of a request to the API.

    Raises:
        KeyError: the middleware is missing; a bug.
    """
    return request[_PRINCIPAL]
