"""What the screens of the console may use, and how their channels get it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.console.live_topics import LiveTopics
from phoenix_compat.server.engine import Engine
from phoenix_compat.server.http.authentication import principal_of
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.process.config.reload import RELOADABLE_SETTINGS
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.socket import Socket
from phoenix_compat.tasks.worker.worker import Worker

_CONTEXT: Final = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """The parts of the server that the console shows and steers.

    Attributes:
        app: the application, for what it stores under keys (connections, background tasks).
        endpoint: the console's own, whose topics only operators can join.
        server_endpoint: the one of the task server, with the clients that the console shows.
        settings: those of the start.
        engine: its store is closed in a process that does not have the database.
        worker: does nothing in a process that does not have the database.
        processes: asks the other processes, and this one.
        count: returns how many processes the server has now.
        live: the topics that are broadcast again and again while somebody watches.
        started_at: when this process began to open.
    """

    app: web.Application
    settings: Settings
    endpoint: Endpoint
    server_endpoint: Endpoint
    engine: Engine
    worker: Worker
    feed: TaskFeed
    processes: Processes
    count: Callable[[], int]
    live: LiveTopics
    started_at: datetime

    @property
    def present_settings(self) -> Settings:
        """The settings with what the last reload has changed."""
        return self.app[RELOADABLE_SETTINGS].applied or self.settings

    @property
    def assigns(self) -> dict[str, object]:
        """What every channel of the console gets; see `context_of`."""
        return {_CONTEXT: self}


def context_of(socket: Socket) -> ConsoleContext:
    """The context, inside a channel of the console."""
    context: ConsoleContext = socket.assigns[_CONTEXT]
    return context


def operator_of(request: web.Request) -> Principal:
    """The sender of a request under `/api/console`.

    Raises:
        ScopeError: the sender may not operate the server.
    """
    principal = principal_of(request)
    principal.require(Scope.OPERATE)
    return principal
