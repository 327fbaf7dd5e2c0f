"""Decides how many connections a process may have, from the settings and the open file limit."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import web

from phoenix_compat.accept.connections import Connections
from phoenix_compat.accept.room import FREE_CONCURRENCY, open_file_limit, room_for_connections
from phoenix_compat.server.process.settings import Settings

CONNECTIONS: Final = web.AppKey("connections", Connections)
"""The key under which an application stores its connection counters."""

log = structlog.stdlib.get_logger(__name__)


def allowed_connections(
    wanted: int | None = None, *, concurrency: int = FREE_CONCURRENCY, processes: int = 1
) -> int:
    """How many connections a process may have: `wanted`, or fewer if descriptors are short."""
    limit = open_file_limit()
    room = room_for_connections(limit, concurrency=concurrency, processes=processes)
    if wanted is None or wanted <= room:
        return wanted or room
    log.warning("connections.limited", wanted=wanted, max=room, open_file_limit=limit)
    return room


def connections_for(settings: Settings, processes: int) -> Connections:
    """The connection counters of one process, with the limit that the settings give."""
    return Connections(
        allowed_connections(
            settings.max_connections, concurrency=settings.concurrency, processes=processes
        )
    )
