"""The metrics of what is there for other backends: published messages, streams, webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from phoenix_compat.server.backends.publish import PUBLISH, PublishCounts
from phoenix_compat.server.backends.task_stream import STREAMS, StreamCounts
from phoenix_compat.server.metrics.families import Family, counters, gauge
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.tasks.outgoing.counts import OutgoingCounts


def measure_backends(app: web.Application, outgoing: OutgoingCounts | None) -> None:
    """Show these metrics beside the others of an application.

    Args:
        outgoing: what was sent to the operator's webhooks; None if there are none.
    """
    app[METRICS].sources.more.append(
        lambda: backend_families(
            app[PUBLISH].counts, app[STREAMS].counts, outgoing or OutgoingCounts()
        )
    )


def backend_families(
    published: PublishCounts, streams: StreamCounts, outgoing: OutgoingCounts
) -> Sequence[Family]:
    """The metrics."""
    return [
        counters(
            "published",
            "Messages of other backends, and requests that were repeated or refused.",
            ("result",),
            [
                (("ok",), published.messages),
                (("replayed",), published.replayed),
                (("refused",), published.refused),
            ],
        ),
        gauge("task_streams", "Open streams of server-sent events.", streams.open),
        counters(
            "task_streams_opened",
            "Streams of server-sent events that clients asked for or did not read.",
            ("result",),
            [
                (("ok",), streams.opened),
                (("refused",), streams.refused),
                (("slow",), streams.slow_closed),
            ],
        ),
        counters(
            "webhook_deliveries",
            "Events for the webhooks of the operator; failed attempts are repeated for a day.",
            ("result",),
            [
                (("ok",), outgoing.delivered),
                (("failed",), outgoing.failed_attempts),
                (("given_up",), outgoing.given_up),
            ],
        ),
    ]
