"""What concerns tasks goes to the leader: a middleware in front of every process's routes.

A request that was certainly not carried out is sent again, to the next leader when there is a new
one. One that may have been is sent again only if that changes nothing: a GET, a webhook, or an
order with an Idempotency-Key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.server.http.api import KEY_HEADER
from phoenix_compat.server.http.problem import BUSY_RETRY_AFTER_S, ProblemError
from phoenix_compat.server.http.webhooks import MAX_BODY_BYTES, WEBHOOK_PATH
from phoenix_compat.server.multiprocess.leader import FIND_TIMEOUT_S, Leader
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.transports.aiohttp.peers import (
    MISDIRECTED,
    PeerGoneError,
    Peers,
    is_from_peer,
)

READY_PATH: Final = "/readyz"
KEPT_PATHS: Final = ("/api/", WEBHOOK_PATH, READY_PATH)
"""The beginnings of the paths that only the leader can answer."""

_RETRY_S: Final = 0.05
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.stdlib.get_logger(__name__)


def forwarding(
    leader: Leader, peers: Peers, is_well: Callable[[], bool] = lambda: True
) -> Middleware:
    """The middleware; only the guard against web pages (`browsers`) stands in front of it.

    Args:
        is_well: False has this process itself tell that it is not ready.
    """

    @web.middleware
    async def forward(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(KEPT_PATHS) or leader.is_here:
            return await handler(request)
        if request.path == READY_PATH and not is_well():
            return await handler(request)
        if is_from_peer(request):
            return web.Response(status=MISDIRECTED)
        try:
            return await _ask_leader(leader, peers, request)
        except ProblemError as problem:
            return problem.response()

    return forward


async def _ask_leader(leader: Leader, peers: Peers, request: web.Request) -> web.StreamResponse:
    body = await _body(request)
    is_repeatable = (
        request.method in _SAFE_METHODS
        or KEY_HEADER in request.headers
        or request.path == WEBHOOK_PATH
    )
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + FIND_TIMEOUT_S
    while True:
        try:
            node = await leader.find(deadline_s - loop.time())
        except StoreUnavailableError as error:
            raise _unavailable() from error
        try:
            # Also to this process, if it became the leader: the body is read already.
            return await peers.forward(node, request, body)
        except PeerGoneError as error:
            log.info("forwarding.failed", node=node, reason=str(error))
            if error.is_sent and not is_repeatable:
                raise _unknown_outcome() from error
            if loop.time() > deadline_s:
                raise _unavailable() from error
        await asyncio.sleep(_RETRY_S)


async def _body(request: web.Request) -> bytes | None:
    """The body; one that is longer than any route takes is cut where the leader refuses it."""
    if not request.body_exists:
        return None
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
    except web.RequestPayloadError as error:
        raise ProblemError(400, "bad-request", "The body is broken.") from error
    return bytes(body)


def _unavailable() -> ProblemError:
    detail = "The process that keeps the tasks is being replaced; nothing was done."
    return ProblemError(
        503, "unavailable", detail, headers={hdrs.RETRY_AFTER: str(BUSY_RETRY_AFTER_S)}
    )


def _unknown_outcome() -> ProblemError:
    detail = (
        "The process that keeps the tasks ended while it had this request, which may have been "
        f"carried out. Orders with the header {KEY_HEADER} can be sent again safely."
    )
    return ProblemError(
        503, "unknown-outcome", detail, headers={hdrs.RETRY_AFTER: str(BUSY_RETRY_AFTER_S)}
    )
