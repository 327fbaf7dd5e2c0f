"""Puts the console into an application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.auth.authenticator import Authenticator
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.console.channels.tasks import answer_newest
from phoenix_compat.server.console.console_socket import add_console_socket
from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.history import SocketHistory
from phoenix_compat.server.console.live_topics import LiveTopics
from phoenix_compat.server.console.overview import answer_overview
from phoenix_compat.server.console.route_list import ROUTES
from phoenix_compat.server.console.task_changes import TaskChanges
from phoenix_compat.server.engine import Engine
from phoenix_compat.server.metrics.families import Family, counter, gauge
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.server.process.listening import BACKGROUND
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.rates.rate_limiter import RateLimiter
from phoenix_compat.server.topology import Topology
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.transports.aiohttp import mount


@asynccontextmanager
async def open_console(  # noqa: PLR0913 - the parts of the server, by name
    app: web.Application,
    settings: Settings,
    *,
    endpoint: Endpoint,
    engine: Engine,
    worker: Worker,
    feed: TaskFeed,
    topology: Topology,
    authenticator: Authenticator,
    limiter: RateLimiter,
) -> AsyncIterator[ConsoleContext]:
    """Mount the console in an application that has not started; its tasks end with the block.

    Args:
        endpoint: the task server's, whose clients the console shows. The console has its own.
        limiter: limits connects and failed credentials.
    """
    own = Endpoint(check_origin=False, filter_parameters=settings.hidden_parameters)
    context = ConsoleContext(
        app=app,
        settings=settings,
        endpoint=own,
        server_endpoint=endpoint,
        engine=engine,
        worker=worker,
        feed=feed,
        processes=topology.processes,
        count=lambda: topology.count,
        live=LiveTopics(own),
        started_at=datetime.now(UTC),
    )
    for add_routes in ROUTES:
        add_routes(app.router, context)
    history = SocketHistory(lambda: endpoint.connections)
    answer_newest(context)
    answer_overview(context, history)
    add_console_socket(context, authenticator, limiter)
    mount(app, own)
    changes = TaskChanges(own)
    feed.listener = changes.note
    feed.wants_all = lambda: changes.has_viewers
    app[BACKGROUND].watch(
        lambda: (history.background, *context.live.background, *changes.background)
    )
    app[METRICS].sources.more.append(lambda: _families(own, changes))
    history.background.start()
    try:
        yield context
    finally:
        feed.listener = None
        feed.wants_all = lambda: False
        await history.background.stop()
        await changes.stop()
        await context.live.stop()


def _families(endpoint: Endpoint, changes: TaskChanges) -> list[Family]:
    """What is counted of the console, apart from the clients of apps."""
    return [
        gauge("console_sockets", "Connected consoles.", endpoint.connections),
        counter(
            "console_slow_clients",
            "Consoles closed because they did not take what they were sent.",
            endpoint.counters.slow_clients_closed,
        ),
        counter(
            "console_changes_left_out",
            "Changes of tasks that were not sent to consoles, which read their list again.",
            changes.left_out,
        ),
    ]
