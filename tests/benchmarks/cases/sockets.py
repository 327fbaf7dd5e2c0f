"""The throughput of one server over websockets, compared to a minimal C server.

The C server joins the broadcasts of one tick, as our server does, and validates nothing. It
searches topics in a list, so with 1 000 topics it no longer shows the limit of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tests.benchmarks.benchmark import Benchmark, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import load, load_fresh
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.servers import Serve, c_server, reference_set

_SPARE_FILES = 500
MESSAGES_PER_SECOND = "msg/s"

MeasureOf: TypeAlias = Callable[[BenchmarkContext, Serve], Sample]
"""Measures the server that the second argument starts."""


def fanout(
    name: str,
    subscribers: int,
    *,
    broadcasts: int,
    in_flight: int = 4,
    topics: int = 1,
    payload_bytes: int = 64,
    target: Target | None = None,
) -> Benchmark:
    """Broadcasts from one publisher per topic; every delivery is checked and counted.

    Args:
        subscribers: the number of subscribers of all topics together.
        broadcasts: how many broadcasts of each topic are measured.
        in_flight: how many broadcasts of a topic may be incomplete at a time.
    """

    def measure(context: BenchmarkContext, serve: Serve) -> Sample:
        raise_open_file_limit(subscribers + topics + _SPARE_FILES)
        size = ["-n", subscribers, "--rooms", topics, "-P", payload_bytes]
        flow = ["-w", in_flight, "-m", max(context.count(broadcasts), 2 * in_flight)]
        return _run(context, serve, ["fanout", *size, *flow])

    return _work(name, MESSAGES_PER_SECOND, measure, target)


def round_trips(
    name: str, mode: str, *, connections: int = 100, target: Target | None = None
) -> Benchmark:
    """Each connection sends a message, waits for the reply, and repeats that."""

    def measure(context: BenchmarkContext, serve: Serve) -> Sample:
        times = ["-d", context.seconds(3), "--warmup", context.seconds(1)]
        return _run(context, serve, [mode, "-n", connections, *times])

    return _work(name, "/s", measure, target)


def connects(
    name: str, connections: int, *, at_once: int = 64, target: Target | None = None
) -> Benchmark:
    """New connections that join one topic each.

    The same number of connections is made once before, as a warm-up: the first thousands are slower
    because the process allocates memory and CPython specializes the code.
    """

    def measure(context: BenchmarkContext, serve: Serve) -> Sample:
        raise_open_file_limit(connections + _SPARE_FILES)
        arguments = ["connect", "-n", context.count(connections), "-c", at_once]
        with serve(context) as server:
            load(context, server, arguments)
            found = load(context, server, arguments)
        return Sample(float(found["ops_per_s"]), found)

    return _work(name, "/s", measure, target)


def churn(name: str, *options: str) -> Benchmark:
    """Clients that connect, join, leave and close repeatedly, 100 at a time."""

    def measure(context: BenchmarkContext, serve: Serve) -> Sample:
        return _run(context, serve, ["churn", "-n", 100, "-m", context.count(5_000), *options])

    return _work(name, "/s", measure, None)


def idle_bytes(context: BenchmarkContext, connections: int, serve: Serve) -> Sample:
    """The resident memory in bytes per idle connection that has joined a topic."""
    raise_open_file_limit(connections + _SPARE_FILES)
    arguments = ["idle", "-n", connections, "-d", 1]
    sample = _run(context, serve, arguments)
    return Sample(float(sample.detail["rss_per_conn_bytes"]), sample.detail)


def _run(context: BenchmarkContext, serve: Serve, arguments: Sequence[object]) -> Sample:
    found = load_fresh(context, serve(context), arguments)
    return Sample(float(found["ops_per_s"]), found)


def _work(name: str, unit: str, measure: MeasureOf, target: Target | None) -> Benchmark:
    return Benchmark(
        name=name,
        unit=unit,
        ours=lambda context: measure(context, reference_set),
        baseline=lambda context: measure(context, c_server),
        baseline_name="C server",
        target=target,
    )


def _idle(name: str, connections: int, target: Target) -> Benchmark:
    def measure(context: BenchmarkContext, serve: Serve) -> Sample:
        return idle_bytes(context, context.count(connections), serve)

    return _work(name, "B", measure, target)


CORE = (
    fanout(
        "fan-out to 1 000, 1 in flight",
        1_000,
        in_flight=1,
        broadcasts=200,
        target=Target(min_ratio=0.72),
    ),
    fanout("fan-out to 1 000, 4 in flight", 1_000, broadcasts=600, target=Target(min_ratio=0.9)),
    fanout(
        "fan-out to 1 000, 16 in flight",
        1_000,
        in_flight=16,
        broadcasts=1_600,
        target=Target(min_ratio=0.85),
    ),
    fanout(
        "100 topics of 10, 2 in flight each",
        1_000,
        topics=100,
        in_flight=2,
        broadcasts=300,
        target=Target(min_ratio=0.75),
    ),
    round_trips("echo, 100 connections", "echo", target=Target(min_ratio=0.6)),
    round_trips("heartbeats, 100 connections", "heartbeat", target=Target(min_ratio=0.55)),
    connects("connect + join", 4_000, target=Target(min_ratio=0.25)),
    _idle("memory per idle connection, 10 000", 10_000, Target(max_value=3_000)),
)
"""The benchmarks with targets."""

_BROADCASTS = {10: 20_000, 100: 5_000, 1_000: 600, 5_000: 150}

FANOUT = tuple(
    fanout(
        f"fan-out to {subscribers:,}, {text}".replace(",", " ", 1 if subscribers > 999 else 0),
        subscribers,
        broadcasts=broadcasts,
        payload_bytes=payload_bytes,
    )
    for text, payload_bytes in (("100 B", 100), ("2 kB", 2_000))
    for subscribers, broadcasts in _BROADCASTS.items()
)
"""One publisher with few and many subscribers, and small and large payloads."""

MORE = (
    fanout("1 000 topics of 3", 3_000, topics=1_000, in_flight=1, broadcasts=100),
    churn("churn: connect, join, leave, close"),
    churn("churn by reset", "--abrupt"),
    connects("reconnect storm, 2 000 at once", 2_000, at_once=2_000),
)
"""Many small topics, and clients that connect and disconnect."""
