"""The routes for other backends."""

from __future__ import annotations

from typing import Final

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.described import Answer, Body, Example, Route
from phoenix_compat.server.http.openapi.routes.tasks import IDEMPOTENCY_KEY
from phoenix_compat.server.http.schemas.publishing import (
    BatchToPublish,
    MessageToPublish,
    Published,
)

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
)
