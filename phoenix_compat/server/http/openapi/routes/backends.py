"""The routes for other backends."""

from __future__ import annotations

from typing import Final

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.described import Answer, Body, Example, Parameter, Route
from phoenix_compat.server.http.openapi.routes.tasks import (
    IDEMPOTENCY_KEY,
    TASK_ID,
    TASK_ID_IN_PATH,
)
from phoenix_compat.server.http.schemas.publishing import (
    BatchToPublish,
    MessageToPublish,
    Published,
)
from phoenix_compat.server.http.schemas.task_events import TaskOutput, TaskProgress
from phoenix_compat.server.http.schemas.webhooks import TaskWebhook

BACKEND_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/broadcast",
        name="publish",
        tag="backends",
        summary="Publish events to Phoenix clients",
        text="One message, or a batch. The operator lists the topics in the setting "
        "`publish_topics`. The answer does not mean that somebody listens.",
        scope=Scope.PUBLISH,
        parameters=(IDEMPOTENCY_KEY,),
        body=Body("The messages.", (MessageToPublish, BatchToPublish)),
        answers=(
            Answer(
                200,
                "They were handed on.",
                Published,
                optional_headers=("Idempotency-Replayed",),
            ),
        ),
        problems=(
            "bad-idempotency-key",
            "malformed-json",
            "too-deep",
            "not-allowed",
            "invalid-input",
            "idempotency-key-reused",
        ),
        example=Example(
            path="/api/broadcast",
            body={"topic": "room:lobby", "event": "new_msg", "payload": {"body": "hello"}},
            answer={"published": 1},
        ),
    ),
    Route(
        method="GET",
        path="/api/tasks/{task_id}/stream",
        name="streamTask",
        tag="backends",
        summary="Follow a task by server-sent events",
        text="For clients without websockets: the present state, then each change, as the events "
        "`progress`, `output`, `result` and `error` with the data of the channel's events. The "
        "stream ends with the task.",
        scope=Scope.READ,
        parameters=(
            TASK_ID_IN_PATH,
            Parameter(
                "Last-Event-ID",
                "header",
                "The `id` of the last event that the client has; what it has is not sent again.",
                {"type": "string"},
            ),
        ),
        answers=(
            Answer(
                200,
                "The events. While nothing happens, a comment comes every 15 seconds.",
                events={
                    "progress": TaskProgress,
                    "output": TaskOutput,
                    "result": TaskProgress,
                    "error": TaskProgress,
                },
                headers=("Cache-Control",),
            ),
            Answer(204, "The task has ended, and the client has everything."),
        ),
        problems=("task-not-found", "too-many-own-streams", "too-many-streams"),
        example=Example(path=f"/api/tasks/{TASK_ID}/stream", save_as="events.txt"),
    ),
)

TASK_WEBHOOK: Final = Route(
    method="POST",
    path="taskEvent",
    name="receiveTaskEvent",
    tag="backends",
    summary="Receive the events of tasks",
    text="This server sends such requests to the addresses in the setting `on_task_webhooks`, "
    "signed as Standard Webhooks describes. Every event comes at least once, and those of one task "
    "in their order. Remember the ids. An answer that is not 2xx within 15 seconds is an error: "
    "the event comes again, for a day.",
    is_guarded=False,
    parameters=tuple(
        Parameter(name, "header", text, {"type": "string"}, is_required=True)
        for name, text in (
            ("webhook-id", "The id of the event; it stays the same when the event comes again."),
            ("webhook-timestamp", "When the request was sent, in seconds since 1970."),
            ("webhook-signature", "`v1,` and the base64 of an HMAC with SHA-256."),
        )
    ),
    body=Body("The event.", (TaskWebhook,)),
    answers=(
        Answer(204, "You have it; any other 2xx means the same."),
        Answer(410, "You want no more events: the webhook is disabled."),
    ),
)
"""What receivers of webhooks need to know; not a route of this server."""
