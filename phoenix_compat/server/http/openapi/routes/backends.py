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
