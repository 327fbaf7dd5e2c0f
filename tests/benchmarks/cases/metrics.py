"""What it costs to measure: the counters on the way of a message, and a scrape.

The baseline of the first is the same code without its counters; see `uncounted`. The figure is
processor time of the server, so other work on the machine matters little.
"""

from __future__ import annotations

import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tests.benchmarks.benchmark import Benchmark, Measure, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import background, load_fresh
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.servers import (
    Running,
    Serve,
    free_port,
    reference_set,
    running,
    task_server,
)

_SPARE_FILES: Final = 500
_SOCKETS: Final = 10_000
_SCRAPES: Final = 11
_TIMEOUT_S: Final = 10.0
_ROOM: Final = "room:lobby"


@contextmanager
def uncounted(context: BenchmarkContext) -> Iterator[Running]:
    """The server of `reference_set` without its counters of messages."""
    port = free_port()
    own = ["-m", "tests.benchmarks.uncounted", "conformance", "serve", "--port", str(port)]
    with running([sys.executable, *own], port) as server:
        yield server


def _cpu_us(serve: Serve, *arguments: object) -> Measure:
    """The server's processor time for one message, in µs."""

    def measure(context: BenchmarkContext) -> Sample:
        raise_open_file_limit(1_000 + _SPARE_FILES)
        found = load_fresh(context, serve(context), arguments)
        return Sample(float(found["server_cpu_us_per_op"]), found)

    return measure


def _per_message(name: str, *arguments: object) -> Benchmark:
    return Benchmark(
        name=name,
        unit="µs",
        ours=_cpu_us(reference_set, *arguments),
        baseline=_cpu_us(uncounted, *arguments),
        baseline_name="without counters",
        target=Target(max_ratio=1.05),
        digits=2,
    )


def _scrape_ms(context: BenchmarkContext) -> Sample:
    """The median time of a scrape in ms while 10 000 clients are connected and have joined."""
    raise_open_file_limit(_SOCKETS + _SPARE_FILES)
    clients = context.count(_SOCKETS)
    idle = ["idle", "-n", clients, "-t", _ROOM, "-d", 60]
    with (
        task_server(context, listen_topics='["room:*"]') as server,
        background(context, server, idle, settled_s=context.seconds(15)),
    ):
        times_ms, text = _scrapes(server)
    sockets = sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("phoenix_compat_sockets{")
    )
    detail = {"scrapes_ms": times_ms, "bytes": len(text), "sockets": sockets}
    return Sample(statistics.median(times_ms), detail)


def _scrapes(server: Running) -> tuple[Sequence[float], str]:
    """How long each of some scrapes took, after one that imports what it needs."""
    times_ms: list[float] = []
    text = ""
    for _ in range(_SCRAPES + 1):
        began_s = time.perf_counter()
        url = f"http://127.0.0.1:{server.port}/metrics"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            text = answer.read().decode()
        times_ms.append((time.perf_counter() - began_s) * 1_000)
    return times_ms[1:], text


METRICS: Final = (
    _per_message("CPU of an echo", "echo", "-n", 100, "-d", 1, "--warmup", 0.3),
    _per_message("CPU of a delivery to 100", "fanout", "-n", 100, "-w", 4, "-m", 4_000),
    Benchmark(
        name="scrape with 10 000 sockets",
        unit="ms",
        ours=_scrape_ms,
        target=Target(max_value=20.0),
        digits=1,
    ),
)
