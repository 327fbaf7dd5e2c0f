"""When tasks are traced."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from phoenix_compat.server.tracing import setup
from phoenix_compat.server.tracing.setup import is_wanted, open_tracer
from phoenix_compat.tasks.observability.tracing import NoTracer

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_the_standard_variables_decide(environment: Mapping[str, str], *, expected: bool) -> None:
    """An endpoint or the exporter turns it on; others, and the switch of the SDK, turn it off."""
    assert is_wanted(environment) is expected


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        (ENDPOINT, "pip install"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
    ],
)
async def test_a_server_runs_without_what_is_missing(
    environment: Mapping[str, str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a missing package nor another protocol stops it; the log says what to do."""
    monkeypatch.setattr(setup, "_OTEL", "phoenix_compat.server.tracing.missing")
    async with AsyncExitStack() as stack:
        with capture_logs() as lines:
            tracer = await open_tracer(stack, environment)

    assert isinstance(tracer, NoTracer)
    [line] = lines
    assert line["event"] == "tracing.unavailable"
    assert word in line["reason"]


def test_a_trace_of_a_client_is_kept_without_a_listener() -> None:
    """A later process may listen."""
    with NoTracer().request("POST", "00-1") as span:
        span.note(task_id="t")
        span.fail("nothing")

    assert span.traceparent == "00-1"
