"""What one server does on its sockets, held against the minimal C server with the same load.

The C server joins the broadcasts of one tick, as ours does, and checks nothing. It looks a topic up
in a list, so with 1 000 topics it is no limit any more, only a ruler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tests.benchmarks.loads.load import load, load_fresh
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import Serve, c_server, reference_set
from tests.benchmarks.work import Sample, Target, Work

_SPARE_FILES = 500
MESSAGES_A_SECOND = "msg/s"

MeasureOf: TypeAlias = Callable[[Rig, Serve], Sample]
"""Measures the server that it is told to start."""


def fanout(
    name: str,
    subscribers: int,
    *,
    broadcasts: int,
    in_flight: int = 4,
    topics: int = 1,
    payload_bytes: int = 64,
    target: Target | None = None,
) -> Work:
    """Broadcasts from one publisher a topic to all subscribers, every one counted and in order.

    Args:
        subscribers: of all topics together.
        broadcasts: that are measured, of each topic.
        in_flight: broadcasts of a topic that are not delivered to all yet.
    """

    def measure(rig: Rig, serve: Serve) -> Sample:
        raise_open_file_limit(subscribers + topics + _SPARE_FILES)
        size = ["-n", subscribers, "--rooms", topics, "-P", payload_bytes]
        flow = ["-w", in_flight, "-m", max(rig.count(broadcasts), 2 * in_flight)]
        return _run(rig, serve, ["fanout", *size, *flow])

    return _work(name, MESSAGES_A_SECOND, measure, target)


def round_trips(
    name: str, mode: str, *, connections: int = 100, target: Target | None = None
) -> Work:
    """Each connection asks, waits for the reply, asks again."""

    def measure(rig: Rig, serve: Serve) -> Sample:
        times = ["-d", rig.seconds(3), "--warmup", rig.seconds(1)]
        return _run(rig, serve, [mode, "-n", connections, *times])

    return _work(name, "/s", measure, target)


def connects(
    name: str, connections: int, *, at_once: int = 64, target: Target | None = None
) -> Work:
    """New connections that join one topic each, to a server that has seen as many before.

    The first thousands of a process also pay for its memory and for what CPython learns of the
    code; the round trips have their warm-up, too.
    """

    def measure(rig: Rig, serve: Serve) -> Sample:
        raise_open_file_limit(connections + _SPARE_FILES)
        arguments = ["connect", "-n", rig.count(connections), "-c", at_once]
        with serve(rig) as server:
            load(rig, server, arguments)
            found = load(rig, server, arguments)
        return Sample(float(found["ops_per_s"]), found)

    return _work(name, "/s", measure, target)


def churn(name: str, *options: str) -> Work:
    """Connect, join, leave, close; again and again, 100 at a time."""

    def measure(rig: Rig, serve: Serve) -> Sample:
        return _run(rig, serve, ["churn", "-n", 100, "-m", rig.count(5_000), *options])

    return _work(name, "/s", measure, None)


def idle_bytes(rig: Rig, connections: int, serve: Serve) -> Sample:
    """Resident memory that each connection added which joined a topic and then says nothing."""
    raise_open_file_limit(connections + _SPARE_FILES)
    arguments = ["idle", "-n", connections, "-d", 1]
    sample = _run(rig, serve, arguments)
    return Sample(float(sample.detail["rss_per_conn_bytes"]), sample.detail)


def _run(rig: Rig, serve: Serve, arguments: Sequence[object]) -> Sample:
    found = load_fresh(rig, serve(rig), arguments)
    return Sample(float(found["ops_per_s"]), found)


def _work(name: str, unit: str, measure: MeasureOf, target: Target | None) -> Work:
    return Work(
        name=name,
        unit=unit,
        ours=lambda rig: measure(rig, reference_set),
        ruler=lambda rig: measure(rig, c_server),
        ruler_name="C server",
        target=target,
    )


def _idle(name: str, connections: int, target: Target) -> Work:
    def measure(rig: Rig, serve: Serve) -> Sample:
        return idle_bytes(rig, rig.count(connections), serve)

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
"""The table of targets."""

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
"""One publisher, few and many subscribers, small and large payloads."""

MORE = (
    fanout("1 000 topics of 3", 3_000, topics=1_000, in_flight=1, broadcasts=100),
    churn("churn: connect, join, leave, close"),
    churn("churn by reset", "--abrupt"),
    connects("reconnect storm, 2 000 at once", 2_000, at_once=2_000),
)
"""Many small topics, and clients that come and go."""
