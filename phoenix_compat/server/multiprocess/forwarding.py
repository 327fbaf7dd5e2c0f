"""Forwards requests about tasks to the leader: a middleware in front of every process's routes.

A request that certainly was not carried out is sent again, to the new leader if there is one. A
request that may have been carried out is sent again only if repeating it is safe: a GET, a webhook,
or a POST with an Idempotency-Key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.http_server import BodyTooSlowError
from phoenix_compat.server.backends.task_stream import is_stream_path
from phoenix_compat.server.http.base_url import PEER_HEADER, base_url_of
from phoenix_compat.server.http.body import read_body
from phoenix_compat.server.http.observability.request_id import HEADER, request_id_of
from phoenix_compat.server.http.problem import BUSY_RETRY_AFTER_S, ProblemError
from phoenix_compat.server.http.tasks.api import MAX_BODY_BYTES, TASKS_PATH
from phoenix_compat.server.http.tasks.arguments import KEY_HEADER
from phoenix_compat.server.http.uploads.file_api import API_FILES_PATH
from phoenix_compat.server.http.uploads.spooled_bodies import ReadBody, SpooledBodies
from phoenix_compat.server.http.webhooks import MAX_BODY_BYTES as WEBHOOK_BODY_BYTES
from phoenix_compat.server.http.webhooks import WEBHOOK_PATH
from phoenix_compat.server.multiprocess.leader import FIND_TIMEOUT_S, Leader
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.transports.aiohttp.peers import (
    MISDIRECTED,
    PeerGoneError,
    Peers,
    is_from_peer,
)

READY_PATH: Final = "/readyz"
LEADER_PATHS: Final = ("/api/", WEBHOOK_PATH, READY_PATH)
"""Prefixes of the paths that only the leader can answer."""

ANSWER_TIMEOUT_S: Final = 5.0
"""How long the leader may be silent. One that hangs is replaced a moment later."""
FILE_TIMEOUT_S: Final = 120.0
"""The same after files were sent there: photos that must be turned wait for each other."""

_REPLACED: Final = "The process that runs the tasks is being replaced; nothing was done."
_LATE: Final = "The process that runs the tasks does not answer; send the request again."
_FILE_LOST: Final = "The process that stores files does not answer; send the file again."
_RETRY_S: Final = 0.05
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.stdlib.get_logger(__name__)


def forwarding(
    leader: Leader,
    peers: Peers,
    bodies: SpooledBodies,
    is_well: Callable[[], bool] = lambda: True,
) -> Middleware:
    """Build the middleware; only the one against web pages (`browsers`) runs before it.

    Args:
        bodies: reads the bodies of tasks.
        is_well: while it returns False, this process answers /readyz itself: it is not ready.
    """

    @web.middleware
    async def forward(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_for_leader = request.path.startswith(LEADER_PATHS) and not is_stream_path(request.path)
        if not is_for_leader or leader.is_here:
            return await handler(request)
        if request.path == READY_PATH and not is_well():
            return await handler(request)
        if is_from_peer(request):
            return web.Response(status=MISDIRECTED)
        try:
            if request.path == API_FILES_PATH and request.body_exists:
                return await _stream_to_leader(leader, peers, request)
            async with _body(request, bodies) as body:
                return await _ask_leader(leader, peers, request, body)
        except ProblemError as problem:
            return problem.response()

    return forward


@asynccontextmanager
async def _body(request: web.Request, bodies: SpooledBodies) -> AsyncIterator[ReadBody]:
    """The body of a request. Raises ProblemError."""
    if not request.body_exists:
        yield ReadBody()
    elif request.path == TASKS_PATH and request.method == hdrs.METH_POST:
        async with bodies.reading(request) as body:
            yield body
    else:
        is_webhook = request.path == WEBHOOK_PATH
        limit_bytes = WEBHOOK_BODY_BYTES if is_webhook else MAX_BODY_BYTES
        yield ReadBody(await read_body(request, limit_bytes))


async def _ask_leader(
    leader: Leader, peers: Peers, request: web.Request, body: ReadBody
) -> web.StreamResponse:
    is_repeatable = (
        request.method in _SAFE_METHODS
        or KEY_HEADER in request.headers
        or request.path == WEBHOOK_PATH
    )
    added = _added(request)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + FIND_TIMEOUT_S
    timeout_s = FILE_TIMEOUT_S if body.is_long else ANSWER_TIMEOUT_S
    while True:
        try:
            node = await leader.find(deadline_s - loop.time())
        except StoreUnavailableError as error:
            raise _unavailable() from error
        try:
            # Even to this process, if it has become the leader: the body is already read.
            return await peers.forward(node, request, body.content(), added, timeout_s=timeout_s)
        except PeerGoneError as error:
            log.info("forwarding.failed", node=node, reason=str(error))
            if error.is_sent and not is_repeatable:
                raise _unknown_outcome() from error
            if error.is_late:
                raise _unavailable(_LATE) from error
            if loop.time() > deadline_s:
                raise _unavailable() from error
        await asyncio.sleep(_RETRY_S)


async def _stream_to_leader(
    leader: Leader, peers: Peers, request: web.Request
) -> web.StreamResponse:
    """Forward a file while it arrives, once; it is never whole in memory."""
    broken: list[Exception] = []

    async def blocks() -> AsyncIterator[bytes]:
        try:
            async for block in request.content.iter_any():
                yield block
        except (BodyTooSlowError, web.RequestPayloadError) as error:
            broken.append(error)
            raise

    try:
        node = await leader.find(FIND_TIMEOUT_S)
    except StoreUnavailableError as error:
        raise _unavailable() from error
    added = _added(request)
    try:
        return await peers.forward(node, request, blocks(), added, timeout_s=FILE_TIMEOUT_S)
    except PeerGoneError as error:
        if broken:
            detail = "The file did not arrive completely, or not in time; send it again."
            raise ProblemError(400, "bad-request", detail) from error
        log.info("forwarding.failed", node=node, reason=str(error))
        raise _unavailable(_FILE_LOST) from error


def _added(request: web.Request) -> dict[str, str]:
    """What the leader is told of a request: its address as the client wrote it, and its id."""
    request_id = request_id_of(request)
    added = {PEER_HEADER: base_url_of(request)}
    return added if request_id is None else added | {HEADER: request_id}


def _unavailable(detail: str = _REPLACED) -> ProblemError:
    return ProblemError(
        503, "unavailable", detail, headers={hdrs.RETRY_AFTER: str(BUSY_RETRY_AFTER_S)}
    )


def _unknown_outcome() -> ProblemError:
    detail = (
        "The process that runs the tasks ended or hung while it had this request, which may have "
        f"been carried out. Requests with the header {KEY_HEADER} can safely be sent again."
    )
    return ProblemError(
        503, "unknown-outcome", detail, headers={hdrs.RETRY_AFTER: str(BUSY_RETRY_AFTER_S)}
    )
