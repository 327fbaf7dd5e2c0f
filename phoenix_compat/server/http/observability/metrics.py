"""What the server measures, over HTTP; for credentials with the scope `read_metrics` or `operate`.

    GET /metrics       all numbers, for Prometheus: OpenMetrics, or its older text by `Accept`
    GET /api/status    the few that operators look at first, as JSON

With several processes, each answers for all of them.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import hdrs, web

from phoenix_compat.server.auth.principal import Principal, Scope, ScopeError
from phoenix_compat.server.http.authentication import Authenticate, principal_of
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.metrics.metrics import METRICS

if TYPE_CHECKING:
    from types import ModuleType

METRICS_PATH: Final = "/metrics"
STATUS_PATH: Final = "/api/status"
_EXPOSITION: Final = "phoenix_compat.server.metrics.exposition"
_NOT_INSTALLED: Final = (
    'prometheus-client is not installed on this server: pip install "phoenix-compat[server]".'
)
_NOT_ALLOWED: Final = 'Not allowed: use a credential that has "read_metrics" or "operate".'


def add_metrics_routes(app: web.Application, authenticate: Authenticate) -> None:
    """Mount the routes on an app that has not started.

    Args:
        authenticate: finds out who sent a request; requests under /api have been authenticated.
    """

    async def show(request: web.Request) -> web.Response:
        try:
            _require(await authenticate(request))
        except ProblemError as problem:
            return problem.response()
        except ScopeError:
            return ProblemError(403, "forbidden", _NOT_ALLOWED).response()
        try:
            # It imports prometheus-client, so the first request does it, outside the event loop.
            exposition: ModuleType = await asyncio.to_thread(import_module, _EXPOSITION)
        except ModuleNotFoundError:
            return ProblemError(503, "metrics-unavailable", _NOT_INSTALLED).response()
        families = await request.app[METRICS].gather()
        written = exposition.expose(families, request.headers.get(hdrs.ACCEPT, ""))
        headers = {hdrs.CONTENT_TYPE: written.content_type, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=written.body, headers=headers)

    app.router.add_get(METRICS_PATH, show)
    app.router.add_get(STATUS_PATH, _status)


async def _status(request: web.Request) -> web.Response:
    _require(principal_of(request))
    found = await request.app[METRICS].snapshot()
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(
        body=msgspec.json.encode(found), content_type="application/json", headers=headers
    )


def _require(principal: Principal) -> None:
    """Raises ScopeError."""
    if not principal.allows(Scope.READ_METRICS):
        principal.require(Scope.OPERATE)
