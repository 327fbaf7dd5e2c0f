"""Decides how many connections a process may have, from the settings and the open file limit."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from phoenix_compat.accept.capacity import FREE_CONCURRENCY, open_file_limit, room_for_connections
from phoenix_compat.accept.connections import Connections

CONNECTIONS: Final = web.AppKey("connections", Connections)
"""The key under which an application stores its connection counters."""

log = logging.getLogger(__name__)


def allowed_connections(
    wanted: int | None = None, *, concurrency: int = FREE_CONCURRENCY, processes: int = 1
) -> int:
    """How many connections a process may have: `wanted`, or fewer if descriptors are short."""
    limit = open_file_limit()
    room = room_for_connections(limit, concurrency=concurrency, processes=processes)
    if wanted is None or wanted <= room:
        return wanted or room
    log.warning(
        "connections.limited", extra={"wanted": wanted, "max": room, "open_file_limit": limit}
    )
    return room


def connections_for(wanted: int | None, *, concurrency: int, processes: int) -> Connections:
    """The connection counters of one process, limited by the settings of the same names."""
    return Connections(allowed_connections(wanted, concurrency=concurrency, processes=processes))
