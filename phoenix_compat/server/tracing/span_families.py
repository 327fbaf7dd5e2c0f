"""The metrics of tracing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phoenix_compat.server.metrics.families import Family, counters
from phoenix_compat.server.metrics.metrics import More
from phoenix_compat.tasks.observability.tracing import TaskTracer


@dataclass(slots=True)
class SpanCounts:
    """What has become of spans.

    Attributes:
        started: spans that were begun; of these, not sampled ones are not sent.
        exported, failed: those that were sent, and those that could not be sent. What is neither
            is on its way, or was dropped because the queue was full (OTEL_BSP_MAX_QUEUE_SIZE).
    """

    started: int = 0
    exported: int = 0
    failed: int = 0


def span_families(counts: SpanCounts) -> Sequence[Family]:
    """The metrics of tracing."""
    rows: list[tuple[tuple[str, ...], float]] = [
        (("started",), counts.started),
        (("exported",), counts.exported),
        (("failed",), counts.failed),
    ]
    return [counters("trace_spans", "Spans of traces, if tasks are traced.", ("result",), rows)]


def more_of(tracer: TaskTracer) -> list[More]:
    """What a server with this tracer shows beside its other metrics."""
    counts = getattr(tracer, "counts", None)
    return [lambda: span_families(counts)] if isinstance(counts, SpanCounts) else []
