"""Decides whether tasks are traced, by OpenTelemetry's own environment variables."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Final

import structlog

from phoenix_compat.tasks.observability.tracing import NoTracer, TaskTracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP: Final = "http/protobuf"
_OTEL: Final = "phoenix_compat.server.tracing.otel"

log = structlog.stdlib.get_logger(__name__)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces: an OTLP endpoint, or the exporter `otlp`."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporters:
        return "otlp" in {name.strip() for name in exporters.split(",")}
    return any(environment.get(name) for name in _ENDPOINTS)


async def open_tracer(
    stack: AsyncExitStack, environment: Mapping[str, str] = os.environ
) -> TaskTracer:
    """What listens to the steps of tasks; closed by the stack.

    A server whose traces cannot be sent works without them, and says so.
    """
    if not is_wanted(environment):
        return NoTracer()
    asked = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _HTTP)
    if asked != _HTTP:
        reason = f"the protocol {asked!r} is not supported; set {_PROTOCOLS[1]} to {_HTTP}"
        log.warning("tracing.unavailable", reason=reason)
        return NoTracer()
    try:
        otel = await asyncio.to_thread(import_module, _OTEL)
    except ModuleNotFoundError:
        reason = 'OpenTelemetry is not installed: pip install "phoenix-compat[server,otel]"'
        log.warning("tracing.unavailable", reason=reason)
        return NoTracer()
    tracer: TaskTracer = await asyncio.to_thread(otel.OtelTracer)
    stack.push_async_callback(otel.close, tracer)
    return tracer
