"""Scaling: each benchmark compares a large case with a small one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.benchmark import Benchmark, Measure, Sample, Target
from tests.benchmarks.cases.sockets import idle_bytes
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import background, load, load_fresh
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.servers import Running, Serve, c_server, reference_set

_SPARE_FILES = 500
_TOPICS = 1_000


def _fanout_us(subscribers: int, broadcasts: int, serve: Serve = reference_set) -> Measure:
    """The time of one delivery in µs with this many subscribers, from end to end."""

    def measure(context: BenchmarkContext) -> Sample:
        raise_open_file_limit(subscribers + _SPARE_FILES)
        arguments = ["fanout", "-n", subscribers, "-w", 4, "-m", max(context.count(broadcasts), 10)]
        found = load_fresh(context, serve(context), arguments)
        return Sample(1e6 / float(found["ops_per_s"]), found)

    return measure


def _bytes(connections: int) -> Measure:
    return lambda context: idle_bytes(context, context.count(connections), reference_set)


def _round_trip_us(mode: str, *, has_idle_clients: bool) -> Measure:
    """The median round trip in µs of 10 connections, alone or beside 1 000 joined topics."""

    def measure(context: BenchmarkContext) -> Sample:
        raise_open_file_limit(_TOPICS + _SPARE_FILES)
        times = ["-d", context.seconds(3), "--warmup", context.seconds(1)]
        with (
            reference_set(context) as server,
            _idle_clients(context, server, is_enabled=has_idle_clients),
        ):
            found = load(context, server, [mode, "-n", 10, *times])
        return Sample(float(found["latency_us"]["p50"]), found)

    return measure


@contextmanager
def _idle_clients(
    context: BenchmarkContext, server: Running, *, is_enabled: bool
) -> Iterator[None]:
    """1 000 idle clients, each on its own topic."""
    if not is_enabled:
        yield
        return
    idle = ["idle", "-n", context.count(_TOPICS), "--unique", "-t", "room:idle", "-d", 60]
    with background(context, server, idle, settled_s=2.0):
        yield


def _comparison(
    name: str, unit: str, large: Measure, small: Measure, target: Target | None = None
) -> Benchmark:
    return Benchmark(
        name=name,
        unit=unit,
        ours=large,
        baseline=small,
        baseline_name="the small case",
        target=target,
        digits=2 if unit == "µs" else 0,
    )


GROWTH = (
    _comparison(
        "time per delivery, 5 000 to 1 000 subscribers",
        "µs",
        _fanout_us(5_000, 150),
        _fanout_us(1_000, 600),
        Target(max_ratio=1.25),
    ),
    _comparison(
        "the same for the C server",
        "µs",
        _fanout_us(5_000, 150, c_server),
        _fanout_us(1_000, 600, c_server),
    ),
    _comparison(
        "time per delivery, 1 000 to 100 subscribers",
        "µs",
        _fanout_us(1_000, 600),
        _fanout_us(100, 5_000),
        Target(max_ratio=1.25),
    ),
    _comparison(
        "memory per connection, 10 000 to 1 000",
        "B",
        _bytes(10_000),
        _bytes(1_000),
        Target(max_ratio=1.1),
    ),
    _comparison(
        "memory per connection, 10 000 to 5 000",
        "B",
        _bytes(10_000),
        _bytes(5_000),
        Target(max_ratio=1.1),
    ),
    _comparison(
        "echo beside 1 000 topics",
        "µs",
        _round_trip_us("echo", has_idle_clients=True),
        _round_trip_us("echo", has_idle_clients=False),
        Target(max_ratio=1.1),
    ),
    _comparison(
        "heartbeat beside 1 000 topics",
        "µs",
        _round_trip_us("heartbeat", has_idle_clients=True),
        _round_trip_us("heartbeat", has_idle_clients=False),
        Target(max_ratio=1.1),
    ),
)
"""With linear scaling the ratio is 1: the cost of one does not depend on their number."""
