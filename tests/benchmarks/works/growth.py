"""What grows with what: each work is the large case held against the small one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.loads.load import background, load, load_fresh
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import Running, Serve, c_server, reference_set
from tests.benchmarks.work import Measure, Sample, Target, Work
from tests.benchmarks.works.sockets import idle_bytes

_SPARE_FILES = 500
_TOPICS = 1_000


def _fanout_us(subscribers: int, broadcasts: int, serve: Serve = reference_set) -> Measure:
    """Server and all, what one delivery takes at this many subscribers."""

    def measure(rig: Rig) -> Sample:
        raise_open_file_limit(subscribers + _SPARE_FILES)
        arguments = ["fanout", "-n", subscribers, "-w", 4, "-m", max(rig.count(broadcasts), 10)]
        found = load_fresh(rig, serve(rig), arguments)
        return Sample(1e6 / float(found["ops_per_s"]), found)

    return measure


def _bytes(connections: int) -> Measure:
    return lambda rig: idle_bytes(rig, rig.count(connections), reference_set)


def _round_trip_us(mode: str, *, is_crowded: bool) -> Measure:
    """The median wait of one connection of ten, alone or beside 1 000 joined topics."""

    def measure(rig: Rig) -> Sample:
        raise_open_file_limit(_TOPICS + _SPARE_FILES)
        times = ["-d", rig.seconds(3), "--warmup", rig.seconds(1)]
        with reference_set(rig) as server, _crowd(rig, server, is_there=is_crowded):
            found = load(rig, server, [mode, "-n", 10, *times])
        return Sample(float(found["latency_us"]["p50"]), found)

    return measure


@contextmanager
def _crowd(rig: Rig, server: Running, *, is_there: bool) -> Iterator[None]:
    """1 000 clients that each joined a topic of their own and say nothing."""
    if not is_there:
        yield
        return
    idle = ["idle", "-n", rig.count(_TOPICS), "--unique", "-t", "room:crowd", "-d", 60]
    with background(rig, server, idle, settled_s=2.0):
        yield


def _against(
    name: str, unit: str, large: Measure, small: Measure, target: Target | None = None
) -> Work:
    return Work(
        name=name,
        unit=unit,
        ours=large,
        ruler=small,
        ruler_name="the small case",
        target=target,
        digits=2 if unit == "µs" else 0,
    )


GROWTH = (
    _against(
        "time a delivery, 5 000 to 1 000 subscribers",
        "µs",
        _fanout_us(5_000, 150),
        _fanout_us(1_000, 600),
        Target(max_ratio=1.25),
    ),
    _against(
        "the same of the C server",
        "µs",
        _fanout_us(5_000, 150, c_server),
        _fanout_us(1_000, 600, c_server),
    ),
    _against(
        "time a delivery, 1 000 to 100 subscribers",
        "µs",
        _fanout_us(1_000, 600),
        _fanout_us(100, 5_000),
        Target(max_ratio=1.25),
    ),
    _against(
        "memory a connection, 10 000 to 1 000",
        "B",
        _bytes(10_000),
        _bytes(1_000),
        Target(max_ratio=1.1),
    ),
    _against(
        "memory a connection, 10 000 to 5 000",
        "B",
        _bytes(10_000),
        _bytes(5_000),
        Target(max_ratio=1.1),
    ),
    _against(
        "echo beside 1 000 topics",
        "µs",
        _round_trip_us("echo", is_crowded=True),
        _round_trip_us("echo", is_crowded=False),
        Target(max_ratio=1.1),
    ),
    _against(
        "heartbeat beside 1 000 topics",
        "µs",
        _round_trip_us("heartbeat", is_crowded=True),
        _round_trip_us("heartbeat", is_crowded=False),
        Target(max_ratio=1.1),
    ),
)
"""Linear is a ratio of 1: a delivery, or a connection, costs the same however many there are."""
