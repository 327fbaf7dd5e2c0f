"""The address that the provider reports to.

    POST /webhooks/replicate?task=<task id>&tag=<tag>       200; 400, 401, 404, 413, 415 (problems)

A webhook changes nothing by itself: it hands the worker what a look would have shown, and may come
twice. The answer is never a 5xx: the provider would only send it again, and looking goes on anyway.
(Of several processes the one it came to says 503 when none has the database for ten seconds.)
"""

from __future__ import annotations

import structlog
from aiohttp import web

from phoenix_compat.server.http.problem import ProblemError, refuse_encoded
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from phoenix_compat.tasks.provider.webhooks import (
    WebhookForgedError,
    WebhookMalformedError,
    WebhookStaleError,
    WebhookVerifier,
)
from phoenix_compat.tasks.worker.worker import Worker

WEBHOOK_PATH = "/webhooks/replicate"
MAX_BODY_BYTES = 10 * 1024 * 1024
"""A prediction with all it printed; only who knows the tag may send so much."""

log = structlog.stdlib.get_logger(__name__)


class WebhookRoute:
    """The handler, with what it needs."""

    def __init__(self, worker: Worker, tags: WebhookTags, verifier: WebhookVerifier) -> None:
        self._worker = worker
        self._tags = tags
        self._verifier = verifier

    async def receive(self, request: web.Request) -> web.Response:
        """Check a webhook and tell the worker."""
        try:
            await self._take(request)
        except ProblemError as problem:
            log.warning("webhook.refused", status=problem.status, problem=problem.word)
            return problem.response()
        return web.Response(status=200)

    async def _take(self, request: web.Request) -> None:
        refuse_encoded(request)
        task_id, tag = request.query.get("task", ""), request.query.get("tag", "")
        if not task_id or not self._tags.is_valid(task_id, tag):
            raise ProblemError(401, "unauthorized", "The tag is not this task's.")
        snapshot = await self._opened(request)
        try:
            is_known = await self._worker.notice(task_id, snapshot)
        except StoreUnavailableError as error:
            # The next look will find what this would have told.
            log.warning("webhook.not_noted", task_id=task_id, reason=str(error))
            return
        if not is_known:
            raise ProblemError(404, "not-found", "There is no such task.")

    async def _opened(self, request: web.Request) -> PredictionSnapshot | None:
        body = await _body(request)
        try:
            return await self._verifier.verify(request.headers, body)
        except WebhookForgedError as error:
            raise ProblemError(401, "unauthorized", "The signature is wrong.") from error
        except WebhookStaleError as error:
            raise ProblemError(400, "bad-request", "The webhook is too old or too new.") from error
        except WebhookMalformedError as error:
            raise ProblemError(400, "bad-request", "This is no webhook.") from error


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                detail = f"The body may have at most {MAX_BODY_BYTES} bytes."
                raise ProblemError(413, "too-large", detail)
    except web.RequestPayloadError as error:
        raise ProblemError(400, "bad-request", "The body is broken.") from error
    return bytes(body)


def add_webhook_route(
    app: web.Application, worker: Worker, tags: WebhookTags, verifier: WebhookVerifier
) -> None:
    """Mount the address on an app that has not started."""
    app.router.add_post(WEBHOOK_PATH, WebhookRoute(worker, tags, verifier).receive)
