"""Decides how many connections a process may have, from the settings and the open file limit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web

from phoenix_compat.accept.addresses import is_loopback
from phoenix_compat.accept.capacity import FREE_CONCURRENCY, open_file_limit, room_for_connections
from phoenix_compat.accept.connections import Connections
from phoenix_compat.accept.request_deadlines import HttpBounds

_PER_ADDRESS: Final = 2_000
"""Providers put some hundred subscribers behind one address, and an app has one or two connections.
With that many an address costs the server 40 MB."""

CONNECTIONS: Final = web.AppKey("connections", Connections)
"""The key under which an application stores its connection counters."""

HTTP_BOUNDS: Final = web.AppKey("http_bounds", HttpBounds)
"""The key under which an application stores its bounds for HTTP, if they are not the usual ones."""

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


def connections_for(
    wanted: int | None,
    *,
    concurrency: int,
    processes: int,
    per_address: int | None = None,
    is_uncounted: Callable[[str], bool] = is_loopback,
) -> Connections:
    """The connection counters of one process, limited by the settings.

    Args:
        wanted: the setting `max_connections`.
        per_address: the setting `max_connections_per_address`, which holds for all processes
            together. The kernel spreads the connections of an address over them.
        is_uncounted: see `Connections`.
    """
    allowed = allowed_connections(wanted, concurrency=concurrency, processes=processes)
    if per_address is None:
        per_address = min(_PER_ADDRESS, allowed * processes // 2)
    return Connections(
        allowed,
        max_per_address=max(1, -(-per_address // processes)),
        is_uncounted=is_uncounted,
    )
