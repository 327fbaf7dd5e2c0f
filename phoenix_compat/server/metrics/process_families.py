"""The metrics of this process: what it is, what it uses, and whether it keeps up."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from phoenix_compat.accept import Connections
from phoenix_compat.background import BackgroundReport
from phoenix_compat.server.metrics.families import (
    Family,
    counter,
    counters,
    gauge,
    gauges,
    histogram,
    info,
)
from phoenix_compat.server.metrics.loop_lag import LoopLag
from phoenix_compat.server.process.logs import lines_left_out
from phoenix_compat.version import __version__

STARTED_AT_S: Final = time.time()
"""When this process imported this module, in seconds since 1970; a moment after its start."""
_STATM: Final = Path("/proc/self/statm")


def process_families(
    connections: Connections, lag: LoopLag, background: BackgroundReport, memory_bytes: int | None
) -> Iterator[Family]:
    """The metrics of this process.

    Args:
        memory_bytes: see `resident_bytes`.
    """
    yield info(
        "build",
        "The version of the server and of Python.",
        version=__version__,
        python=platform.python_version(),
    )
    yield gauge("start_time_seconds", "When it was started, since 1970.", STARTED_AT_S)
    yield counter("cpu_seconds", "CPU time that was used.", time.process_time())
    if memory_bytes is not None:
        yield gauge("memory_bytes", "Resident memory.", memory_bytes)
    yield histogram("loop_lag_seconds", "How late the event loop ran a timer.", lag.lags)
    yield gauge("connections", "Open connections of clients.", connections.open)
    yield gauge("connections_max", "Limit of these.", connections.max_connections)
    yield counters(
        "connections_refused",
        "Connections that were turned away, and those whose client was too slow.",
        ("reason",),
        (
            ((reason,), count)
            for reason, count in connections.counts.items()
            if reason not in {"open", "max"}
        ),
    )
    yield gauge(
        "background_healthy",
        "1 while all background tasks run.",
        float(background.is_healthy),
    )
    yield counter("log_lines_left_out", "Log lines that were repeated too often.", lines_left_out())


def resident_bytes() -> int | None:
    """The resident memory of this process; None where the system does not say it. Blocking."""
    with suppress(OSError, ValueError, IndexError):
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def rate_families(refused: dict[str, int]) -> Iterator[Family]:
    """What the rate limits have refused."""
    yield counters(
        "rate_limited",
        "Requests and joins that were too fast, by the limit.",
        ("limit",),
        (((limit,), count) for limit, count in refused.items()),
    )


def bus_families(counts: dict[str, int]) -> Iterator[Family]:
    """What the bus between the processes has counted."""
    yield gauges(
        "bus",
        "Counts of the bus between the processes.",
        ("count",),
        (((name,), count) for name, count in counts.items()),
    )
