"""The middlewares: token and rate limits of /v1, protection of /__emu, and errors.

Errors become `application/problem+json`.
"""

from __future__ import annotations

import hmac
import socket

from aiohttp import web
from aiohttp.typedefs import Handler

from phoenix_compat.control_token import CONTROL_ROUTES_CLOSED, has_control_token
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.problem import ProblemError, not_found, unauthenticated
from phoenix_compat.emulator.rate_limit import RateLimit
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.web.request_context import state_of
from phoenix_compat.protocol.page_guard import PageGuard, host_pattern, machine_names

CONTROL_PREFIX = "/__emu/"
PAGE_GUARD: web.AppKey[PageGuard] = web.AppKey("page_guard", PageGuard)


def page_guard(settings: EmulatorSettings) -> PageGuard:
    """The guard of the control routes: browsers may call them only from pages of this machine."""
    return PageGuard(
        (
            settings.host.lower(),
            *machine_names(socket.gethostname()),
            *map(host_pattern, settings.allowed_hosts),
        ),
        hosts_remedy="start the emulator with --allowed-host NAME",
        origins_remedy="use a page of the emulator's own host, or a program other than a browser",
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert errors to Replicate's problem documents."""
    try:
        return await handler(request)
    except ProblemError as problem:
        return _response(problem.status, problem.body, problem.headers)
    except web.HTTPNotFound:
        missing = not_found()
        return _response(missing.status, missing.body, {})
    except web.HTTPMethodNotAllowed as error:
        detail = f'Method "{request.method}" not allowed.'
        body = {"detail": detail, "status": 405}
        return _response(405, body, {"Allow": error.headers["Allow"]})


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the token and the rate limits under /v1; under /__emu refuse web pages, and check the
    control token."""
    if request.path.startswith(CONTROL_PREFIX):
        _refuse_pages(request)
        _check_control_token(request)
    if not request.path.startswith("/v1/"):
        return await handler(request)
    state = state_of(request)
    state.counts["requests"] += 1
    _authenticate(request)
    limit = _limit(request)
    if limit is state.request_limit:
        # A create is counted later, so that a fault before it does not use up the limit.
        limit.take(state.clock.now_s())
    return await handler(request)


async def add_rate_limit_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add `ratelimit-remaining` and `ratelimit-reset` to every response under /v1."""
    if not request.path.startswith("/v1/") or response.status == 401:
        return
    headers = _limit(request).headers(state_of(request).clock.now_s())
    if response.status == 429:
        # A 429 of a fault takes no token, so the bucket may be full.
        headers["ratelimit-remaining"] = "0"
    response.headers.update(headers)


def _refuse_pages(request: web.Request) -> None:
    # Also with a token: it may be known to a page, or there may be none.
    refused = request.config_dict[PAGE_GUARD].refuse(
        request.method, request.headers, has_body=request.body_exists
    )
    if refused is not None:
        raise ProblemError(refused.status, refused.detail)


def _check_control_token(request: web.Request) -> None:
    token = state_of(request).settings.control_token
    if token is not None and not has_control_token(request.headers, token):
        raise ProblemError(401, CONTROL_ROUTES_CLOSED, headers={"WWW-Authenticate": "Bearer"})


def _authenticate(request: web.Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated()
    expected = state_of(request).settings.api_token
    if expected is not None and not hmac.compare_digest(token.strip().encode(), expected.encode()):
        raise unauthenticated()


def _limit(request: web.Request) -> RateLimit:
    state = state_of(request)
    is_create = request.method == "POST" and request.path.endswith("/predictions")
    return state.create_limit if is_create else state.request_limit


def _response(status: int, body: JsonObject, headers: dict[str, str]) -> web.Response:
    response = web.json_response(body, status=status, headers=headers)
    response.content_type = "application/problem+json"
    return response
