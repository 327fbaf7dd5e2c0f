"""How many connections a server may have, and where its application keeps their number."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import web

from phoenix_compat.accept.connections import Connections
from phoenix_compat.accept.room import FREE_CONCURRENCY, open_file_limit, room_for_connections
from phoenix_compat.server.process.settings import Settings

CONNECTIONS: Final = web.AppKey("connections", Connections)
"""Where an application has them."""

log = structlog.stdlib.get_logger(__name__)


def allowed_connections(
    wanted: int | None = None, *, concurrency: int = FREE_CONCURRENCY, processes: int = 1
) -> int:
    """How many connections a process may have: what is wanted, if there are descriptors for it."""
    limit = open_file_limit()
    room = room_for_connections(limit, concurrency=concurrency, processes=processes)
    if wanted is None or wanted <= room:
        return wanted or room
    log.warning("connections.limited", wanted=wanted, max=room, open_file_limit=limit)
    return room


def connections_for(settings: Settings, processes: int) -> Connections:
    """The count of one process's connections, by the settings."""
    return Connections(
        allowed_connections(
            settings.max_connections, concurrency=settings.concurrency, processes=processes
        )
    )
