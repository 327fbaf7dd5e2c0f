"""The limit of an owner's tasks: in the API, once it is known who the sender is."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.http.authentication import note_principal
from phoenix_compat.server.http.problem import answering_problems
from phoenix_compat.server.http.rate_limits import limit_owner
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.rate_limiter import RateLimiter
from tests.serving import serving


async def named(request: web.Request) -> Principal:
    """Believe the header X-Owner."""
    return Principal(owner=request.headers["X-Owner"], scopes=frozenset(Scope))


async def accept(_request: web.Request) -> web.Response:
    return web.Response(status=202)


async def test_one_owner_creates_only_so_many_tasks() -> None:
    """The third is 429 before the handler runs; reads pass, and so does another owner."""
    limiter = RateLimiter(RateSettings(owner_creates_per_minute=2))

    async def prepare(request: web.Request) -> None:
        await note_principal(named, request)
        limit_owner(limiter, request)

    app = web.Application(middlewares=[answering_problems(prepare)])
    app.router.add_route("*", "/api/tasks", accept)

    async with serving(app) as url:
        answers = [
            await exchange(url, method, "/api/tasks", headers=[("X-Owner", owner)])
            for method, owner in [
                *[("POST", "alice")] * 3,
                ("GET", "alice"),
                ("POST", "bob"),
            ]
        ]

    assert [answer.status for answer in answers] == [202, 202, 429, 202, 202]
    assert answers[2].header("retry-after") == "30"
    assert b"Too many tasks of this owner: at most 2 a minute." in answers[2].body
