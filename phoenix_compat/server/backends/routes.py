"""Mounts what is there for other backends, and shows its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.backends.measures import measure_backends
from phoenix_compat.server.backends.publish import add_publish_route
from phoenix_compat.server.backends.task_stream import TaskStreams, add_stream_route
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.process.settings import Settings

if TYPE_CHECKING:  # it is loaded only where webhooks are configured
    from phoenix_compat.tasks.outgoing.dispatcher import WebhookDispatcher


def add_backend_routes(
    app: web.Application,
    settings: Settings,
    endpoint: Endpoint,
    feed: TaskFeed,
    webhooks: WebhookDispatcher | None,
) -> None:
    """Mount the routes on an app that has not started.

    Args:
        webhooks: sends events to the operator's webhooks, for the metrics.
    """
    add_publish_route(app, endpoint, settings.publish_topics)
    streams = TaskStreams(
        endpoint,
        feed,
        visibility=settings.task_visibility,
        max_streams=settings.max_task_streams,
        closes_expired=settings.close_expired_sockets,
    )
    add_stream_route(app, streams)
    measure_backends(app, None if webhooks is None else webhooks.counts)
