"""A tracer of tasks that sends spans with OpenTelemetry's SDK, over OTLP and HTTP.

Endpoint, headers, sampling, batches and the name of the service are those of the standard variables
(OTEL_EXPORTER_OTLP_…, OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_SERVICE_NAME). Spans wait in a queue of
limited length, and are sent by a thread. Attributes name the task, its type and its model; nothing
that a client wrote is among them.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Final, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from phoenix_compat.server.tracing.span_families import SpanCounts
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.observability.tracing import Span, Value
from phoenix_compat.version import __version__

CLOSE_S: Final = 5.0
"""How long the stop of a server waits for the last spans to be sent."""
_NAME: Final = "phoenix_compat"
_PARENT: Final = "traceparent"
_NAMED: Final = "service.name="

_propagator: Final = TraceContextTextMapPropagator()


class OtelSpan:
    """A span of OpenTelemetry; see Span."""

    def __init__(self, span: trace.Span) -> None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
        self.traceparent = carrier.get(_PARENT)
        self._span = span

    def note(self, **attributes: Value | None) -> None:
        """See Span; `http_route` becomes `http.route`."""
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name.replace("_", ".", 1), value)

    def fail(self, reason: str) -> None:
        """See Span."""
        self._span.set_status(Status(StatusCode.ERROR, reason))


class _CountingExporter:
    """A SpanExporter that counts what another one sends. Used by one thread at a time."""

    def __init__(self, exporter: SpanExporter, counts: SpanCounts) -> None:
        self._exporter = exporter
        self._counts = counts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._counts.exported += len(spans)
        else:
            self._counts.failed += len(spans)
        return result

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter."""
        return bool(self._exporter.force_flush(timeout_millis))


class OtelTracer:
    """Listens to the steps of tasks; see TaskTracer. Making one reads files, so it blocks.

    Args:
        exporter: sends the spans; None for OTLP.

    Attributes:
        counts: see SpanCounts.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self.counts = SpanCounts()
        self.provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        counting = _CountingExporter(exporter or OTLPSpanExporter(), self.counts)
        self.provider.add_span_processor(BatchSpanProcessor(cast("SpanExporter", counting)))
        self._tracer = self.provider.get_tracer(_NAME, __version__)

    def request(self, name: str, traceparent: str | None) -> AbstractContextManager[Span]:
        """See TaskTracer."""
        return self._span(name, traceparent, SpanKind.SERVER)

    def step(
        self, name: str, task: Task, *, began_at: datetime | None = None
    ) -> AbstractContextManager[Span]:
        """See TaskTracer."""
        return self._span(name, task.traceparent, SpanKind.INTERNAL, task, began_at)

    @contextmanager
    def _span(
        self,
        name: str,
        parent: str | None,
        kind: SpanKind,
        task: Task | None = None,
        began_at: datetime | None = None,
    ) -> Iterator[Span]:
        self.counts.started += 1
        attributes: dict[str, Value] = {}
        if task is not None:
            attributes = {
                "task.id": task.id,
                "task.type": task.type,
                "task.model": task.running_model,
                "task.cycle": task.cycle,
            }
        span = self._tracer.start_span(
            name,
            context=_propagator.extract({_PARENT: parent} if parent else {}, Context()),
            kind=kind,
            attributes=attributes,
            start_time=None if began_at is None else int(began_at.timestamp() * 1e9),
            record_exception=False,
            set_status_on_exception=False,
        )
        try:
            yield OtelSpan(span)
        except asyncio.CancelledError:
            span.set_attribute("interrupted", value=True)
            raise
        except Exception as error:
            # The texts of errors may quote what a client or the provider wrote.
            span.set_attribute("error.type", type(error).__name__)
            if kind is not SpanKind.SERVER:  # a refused request is no failure of the server
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()


async def close(tracer: OtelTracer) -> None:
    """Send the last spans, for a limited time: the receiver may be gone."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def shut_down() -> None:
        tracer.provider.shutdown()
        loop.call_soon_threadsafe(done.set)

    # Not in the loop's executor, whose threads must end before the process can.
    threading.Thread(target=shut_down, name="tracing-close", daemon=True).start()
    try:
        async with asyncio.timeout(CLOSE_S):
            await done.wait()
    except TimeoutError:
        pass


def _resource() -> Resource:
    """What sends the spans; the name is ours unless the variables have one."""
    attributes: dict[str, str | int] = {
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
    }
    named = os.environ.get("OTEL_SERVICE_NAME") or (
        _NAMED in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    )
    if not named:
        attributes["service.name"] = _NAME
    return Resource.create(attributes)
