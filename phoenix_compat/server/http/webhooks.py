"""Receives the provider's webhooks.

    POST /webhooks/replicate?task=<task id>&tag=<tag>       200; 400, 401, 404, 413, 415 (problems)

A webhook gives the worker what a poll would have shown, and may come twice. The answer is not a 5xx
when the store fails: the provider would only send the webhook again, and polling goes on anyway.
(With several processes the answer is 503 if none of them has the database for ten seconds.)
"""

from __future__ import annotations

import structlog
from aiohttp import web

from phoenix_compat.measures import CountTable
from phoenix_compat.server.http.body import read_body
from phoenix_compat.server.http.problem import ProblemError, refuse_encoded
from phoenix_compat.server.http.tasks.worker_client import WorkerClient
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from phoenix_compat.tasks.provider.webhooks import (
    WebhookForgedError,
    WebhookMalformedError,
    WebhookStaleError,
    WebhookVerifier,
)

WEBHOOK_PATH = "/webhooks/replicate"
MAX_BODY_BYTES = 10 * 1024 * 1024
"""A prediction with its logs. The body is read only after the tag has been checked."""

log = structlog.stdlib.get_logger(__name__)


class WebhookRoute:
    """The handler with its dependencies."""

    def __init__(
        self,
        worker: WorkerClient,
        tags: WebhookTags,
        verifier: WebhookVerifier,
        counts: CountTable | None = None,
    ) -> None:
        self._worker = worker
        self._tags = tags
        self._verifier = verifier
        self._counts = counts or CountTable(("result",))

    async def receive(self, request: web.Request) -> web.Response:
        """Check a webhook and pass it to the worker."""
        try:
            await self._process(request)
        except ProblemError as problem:
            log.debug("webhook.refused", status=problem.status, problem=problem.word)
            self._counts.add((problem.word,))
            return problem.response()
        self._counts.add(("ok",))
        return web.Response(status=200)

    async def _process(self, request: web.Request) -> None:
        refuse_encoded(request)
        task_id, tag = request.query.get("task", ""), request.query.get("tag", "")
        if not task_id or not self._tags.is_valid(task_id, tag):
            raise ProblemError(401, "unauthorized", "The tag does not belong to this task.")
        snapshot = await self._opened(request)
        try:
            is_known = await self._worker.notice(task_id, snapshot)
        except StoreUnavailableError as error:
            # The next poll will find what this webhook reports.
            log.warning("webhook.store_unavailable", task_id=task_id, reason=str(error))
            return
        if not is_known:
            raise ProblemError(404, "not-found", "There is no task with this id.")

    async def _opened(self, request: web.Request) -> PredictionSnapshot | None:
        body = await read_body(request, MAX_BODY_BYTES)
        try:
            return await self._verifier.verify(request.headers, body)
        except WebhookForgedError as error:
            raise ProblemError(401, "unauthorized", "The signature is wrong.") from error
        except WebhookStaleError as error:
            raise ProblemError(400, "bad-request", "The webhook is too old or too new.") from error
        except WebhookMalformedError as error:
            raise ProblemError(400, "bad-request", "This is not a webhook request.") from error


def add_webhook_route(
    app: web.Application,
    worker: WorkerClient,
    tags: WebhookTags,
    verifier: WebhookVerifier,
    counts: CountTable | None = None,
) -> None:
    """Mount the route on an app that has not started.

    Args:
        counts: gets the webhooks by result: "ok", or the last word of the problem.
    """
    route = WebhookRoute(worker, tags, verifier, counts)
    app.router.add_post(WEBHOOK_PATH, route.receive)
