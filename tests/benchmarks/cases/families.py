"""All benchmarks by family, in the order of the table.

Those of `nodes` measure several nodes, and need PostgreSQL, NATS and Redis; the others measure one
server process. For several processes (`--workers 2`) see `workers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.cases import (
    asgi,
    commits,
    console,
    growth,
    latency,
    long_poll,
    metrics,
    posts,
    safety,
    sockets,
)
from tests.benchmarks.cases import tasks as tasks_cases
from tests.benchmarks.nodes.broadcasts import BROADCASTS
from tests.benchmarks.nodes.tasks import TASKS as NODE_TASKS
from tests.benchmarks.nodes.throughput import THROUGHPUT

FAMILIES: Mapping[str, Sequence[Benchmark]] = {
    "core": sockets.CORE,
    "fanout": sockets.FANOUT,
    "sockets": sockets.MORE,
    "longpoll": long_poll.LONG_POLL,
    "asgi": asgi.ASGI,
    "growth": growth.GROWTH,
    "latency": latency.LATENCY,
    "posts": posts.POSTS,
    "safety": safety.SAFETY,
    "commits": commits.COMMITS,
    "metrics": metrics.METRICS,
    "console": console.CONSOLE,
    "tasks": tasks_cases.TASKS,
    "startup": tasks_cases.STARTUP,
    "nodes": (*NODE_TASKS, *BROADCASTS, *THROUGHPUT),
}

DEFAULT: Sequence[str] = tuple(name for name in FAMILIES if name != "nodes")
"""The families that run if none is named."""
