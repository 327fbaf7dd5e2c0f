"""How many descriptors there are for clients' connections."""

from __future__ import annotations

import sys
from typing import Final

from phoenix_compat.accept.overflow import MAX_VISITS

KEPT_BACK: Final = 64
"""For all that is no client's connection: a server at rest has about 25 descriptors (standard
streams, loop, listening sockets, SQLite's files), eight tasks have 16 (a connection to Replicate
each, and a stream for texts, or the emulator's end of it for pictures), four files that are being
fetched have 12 (source, emulator, file), and eight that are being sent have 8."""
FREE_CONCURRENCY: Final = 8
"""So many tasks in hand are covered by that; each further one needs two more."""

_MIN_CONNECTIONS: Final = 8
_UNLIMITED: Final = 2**20


def open_file_limit() -> int:
    """How many descriptors this process may have."""
    if sys.platform == "win32":
        return _UNLIMITED
    import resource  # noqa: PLC0415 - not there on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def room_for_connections(
    limit: int, *, concurrency: int = FREE_CONCURRENCY, processes: int = 1
) -> int:
    """So many connections leave the descriptors free that everything else needs.

    Args:
        limit: the descriptors of this process.
        concurrency: tasks in hand at once.
        processes: how many serve on the port. Each has two streams to every other. A request that
            another process must answer has a second descriptor here, and there one for our asking:
            so a third is for clients, a third for asking, a third for answering.
    """
    rest = limit - KEPT_BACK - MAX_VISITS - 2 * max(0, concurrency - FREE_CONCURRENCY)
    if processes > 1:
        rest = (rest - 2 * (processes - 1)) // 3
    return max(_MIN_CONNECTIONS, rest)
