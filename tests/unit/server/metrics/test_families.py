"""Families as values, merged over processes, and as text."""

from __future__ import annotations

import math

import msgspec

from phoenix_compat.measures import Histogram
from phoenix_compat.server.metrics.exposition import expose
from phoenix_compat.server.metrics.families import (
    Family,
    counter,
    counters,
    gauge,
    histogram,
    info,
    merged,
)
from tests.integration.metrics.exposed import OPENMETRICS, Exposed


def some_families(value: float) -> list[Family]:
    """One of each kind."""
    times = Histogram((0.1, 1.0))
    times.observe(0.5)
    return [
        gauge("sockets", "Sockets.", value),
        counter("joins", "Joins.", value),
        counters("ended", "Tasks.", ("code",), [(('quoted "\\\n',), value)]),
        histogram("wait_seconds", "A wait.", times),
        info("build", "The build.", version="1"),
    ]


def test_both_formats_can_be_parsed() -> None:
    """Also with labels that need escapes, numbers that are not finite, and no samples at all."""
    families = [
        *some_families(1),
        gauge("unknown", "Not known.", math.nan),
        counters("none", "Nothing.", ("code",), []),
    ]

    for accept, is_openmetrics in ((OPENMETRICS, True), ("", False)):
        written = expose(families, accept)
        found = Exposed(written.body.decode(), is_openmetrics=is_openmetrics)

        assert ("openmetrics" in written.content_type) == is_openmetrics
        assert found.labels("code") == {'quoted "\\\n'}
        assert found.value("phoenix_compat_wait_seconds_bucket", le="0.1") == 0
        assert found.value("phoenix_compat_wait_seconds_bucket", le="+Inf") == 1
        assert math.isnan(found.value("phoenix_compat_unknown"))
        assert found.value("phoenix_compat_build_info", version="1") == 1


def test_families_of_processes_are_merged() -> None:
    """Each sample has the number of its process, also after a way over the bus."""
    sent = msgspec.msgpack.encode(some_families(2))
    other = msgspec.msgpack.decode(sent, type=list[Family])

    families = merged([(0, some_families(1)), (1, other)])

    found = Exposed(expose(families, OPENMETRICS).body.decode(), is_openmetrics=True)
    assert len(families) == len(some_families(1))
    assert found.value("phoenix_compat_joins_total", process="0") == 1
    assert found.value("phoenix_compat_joins_total", process="1") == 2
    assert found.total("phoenix_compat_wait_seconds_count") == 2
