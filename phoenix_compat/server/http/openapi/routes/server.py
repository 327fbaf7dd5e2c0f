"""The routes about the server itself, and those that other servers call."""

from __future__ import annotations

from typing import Final

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.described import Answer, Body, Example, Parameter, Route
from phoenix_compat.server.http.schemas.measures import Status
from phoenix_compat.server.http.schemas.status import Health, Readiness
from phoenix_compat.version import __version__

_READY: Final = {
    "status": "ready",
    "provider": {
        "circuit": "closed",
        "reason": None,
        "open_s": 0.0,
        "creates_per_minute": 600.0,
    },
    "store": {"state": "available"},
    "background": {
        "dispatcher": {"state": "running", "restarts": 0},
        "maintenance": {"state": "running", "restarts": 0},
        "key-uses": {"state": "running", "restarts": 0},
    },
    "log_lines_left_out": 0,
}
_HEALTH: Final = {
    "status": "ok",
    "version": __version__,
    "connections": {
        "open": 1,
        "max": 19920,
        "refused_over_cap": 0,
        "refused_per_address": 0,
        "accept_errors": 0,
        "refused_files": 0,
        "late_heads": 0,
        "large_heads": 0,
        "late_bodies": 0,
        "idle_closed": 0,
        "unread_closed": 0,
    },
    "outputs": {"texts": 0, "broadcasts": 0, "not_shown": 0},
    "rate_limited": {
        "address_creates": 0,
        "address_connects": 0,
        "address_joins": 0,
        "address_failed_credentials": 0,
        "owner_creates": 0,
        "owner_connects": 0,
        "owner_joins": 0,
    },
    "files": {"refused_quota": 0},
    "published": {"messages": 0, "replayed": 0, "refused": 0, "forgotten_keys": 0},
    "streams": {"open": 0, "opened": 0, "refused": 0, "slow_closed": 0},
}

_FRESH: Final = ("Cache-Control",)
_STATUS: Final = {
    "version": __version__,
    "up_s": 86400.0,
    "processes": 1,
    "missing_processes": 0,
    "sockets": 12,
    "channels": 12,
    "connections": 14,
    "frames_received": 5310,
    "frames_sent": 8720,
    "outbox_bytes": 0,
    "loop_lag_s": 0.0011,
    "memory_bytes": 98566144,
    "tasks": {
        "queued": 2,
        "running": 8,
        "completed": 1204,
        "failed": 9,
        "ended_per_minute": 31,
        "failed_per_minute": 0,
        "p50_s": 4.2,
        "p95_s": 9.8,
        "spend_today_usd": 1.86,
        "tasks_today": 93,
        "circuit": "closed",
        "circuit_reason": None,
        "creates_per_minute": 600.0,
        "archive_bytes": 734003200,
    },
}

SERVER_ROUTES: Final = (
    Route(
        method="GET",
        path="/",
        name="showIndex",
        tag="server",
        summary="Say what this server is",
        text="A page for browsers, and a text for everything else.",
        answers=(Answer(200, "A page or a text.", content_types=("text/plain", "text/html")),),
        example=Example(path="/", save_as="index.txt"),
    ),
    Route(
        method="GET",
        path="/healthz",
        name="showHealth",
        tag="server",
        summary="Ask whether the server is alive",
        text="It is answered as long as the process runs, under any host name.",
        is_guarded=False,
        answers=(Answer(200, "It is alive.", Health),),
        example=Example(path="/healthz", answer=_HEALTH),
    ),
    Route(
        method="GET",
        path="/readyz",
        name="showReadiness",
        tag="server",
        summary="Ask whether the server can do its work",
        text="It is answered under any host name.",
        is_guarded=False,
        answers=(
            Answer(200, "Tasks are accepted and worked on.", Readiness),
            Answer(503, "Something does not work; `status` and the reasons say what.", Readiness),
        ),
        example=Example(path="/readyz", answer=_READY),
    ),
    Route(
        method="GET",
        path="/api/status",
        name="showStatus",
        tag="server",
        summary="Read the numbers that operators look at first",
        text="The scope `read_metrics` is enough too.",
        scope=Scope.OPERATE,
        answers=(Answer(200, "The numbers of all processes together.", Status, headers=_FRESH),),
        example=Example(path="/api/status", answer=_STATUS),
    ),
    Route(
        method="GET",
        path="/metrics",
        name="showMetrics",
        tag="server",
        summary="Read all numbers, for Prometheus",
        text="OpenMetrics if `Accept` asks for it, else Prometheus's older text. The scope "
        "`read_metrics` is enough too.",
        scope=Scope.OPERATE,
        answers=(
            Answer(
                200,
                "The metrics.",
                content_types=("text/plain", "application/openmetrics-text"),
                headers=_FRESH,
            ),
        ),
        problems=(
            "bad-owner",
            "unauthorized",
            "forbidden",
            "auth-unavailable",
            "metrics-unavailable",
        ),
        example=Example(path="/metrics", save_as="metrics.txt"),
    ),
    Route(
        method="GET",
        path="/openapi.json",
        name="showOpenapi",
        tag="server",
        summary="Read this document",
        answers=(
            Answer(
                200,
                "OpenAPI 3.1.",
                content_types=("application/json",),
                headers=("ETag", "Cache-Control"),
            ),
            Answer(304, "The client has it.", headers=("ETag", "Cache-Control")),
        ),
        example=Example(path="/openapi.json", save_as="openapi.json"),
    ),
    Route(
        method="POST",
        path="/webhooks/replicate",
        name="receiveReplicateWebhook",
        tag="server",
        summary="Receive a webhook of Replicate",
        text="Only Replicate sends such requests. The route is there only if the server has a "
        "token and a `public_url` with `https://`. A webhook may come twice.",
        parameters=(
            Parameter("task", "query", "The id of the task.", {"type": "string"}, is_required=True),
            Parameter(
                "tag",
                "query",
                "Proves that the address is ours.",
                {"type": "string"},
                is_required=True,
            ),
            *(
                Parameter(name, "header", text, {"type": "string"}, is_required=True)
                for name, text in (
                    ("webhook-id", "The id of the webhook."),
                    ("webhook-timestamp", "When it was sent, in seconds since 1970."),
                    ("webhook-signature", "Its signatures."),
                )
            ),
        ),
        body=Body(
            "A prediction, as Replicate shows it.",
            content_types={"application/json": {"type": "object"}},
        ),
        answers=(Answer(200, "It was noted."),),
        problems=(
            "bad-request",
            "unauthorized",
            "not-found",
            "request-timeout",
            "too-large",
            "unsupported-media-type",
            "unavailable",
        ),
    ),
)
