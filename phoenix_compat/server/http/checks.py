"""Runs the checks in front of all routes, one after the other, in one middleware.

A middleware of its own for each would cost every request a coroutine, sockets included, and none of
them has anything to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

Check: TypeAlias = Callable[[web.Request], web.StreamResponse | None]
"""Returns the response to a request that goes no further, and None for any other."""


def checking(checks: Sequence[Check]) -> Middleware:
    """Build the middleware: the first response of a check is the answer; without one, the route's.

    Args:
        checks: in their order.
    """
    in_order = tuple(checks)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        for one in in_order:
            response = one(request)
            if response is not None:
                return response
        return await handler(request)

    return check
