"""The throughput of tasks from the POST to the picture, and the start-up time of the servers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.benchmark import Benchmark, Measure, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads import task_client
from tests.benchmarks.loads.task_path import task_path
from tests.benchmarks.servers import (
    Running,
    Serve,
    comparison_app,
    free_port,
    reference_set,
    running,
    task_server,
)

_TASKS = 200
_ORDERS = 100
_BARE = """
import sys
from aiohttp import web
app = web.Application()
app.router.add_get("/", lambda request: web.Response())
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


def tasks_per_second(context: BenchmarkContext) -> Sample:
    """From the first POST until the last task is completed, with a model that takes almost no time.

    Each task needs a create, polls, about eight commits, and a picture that is drawn, downloaded
    and stored. The emulator runs in the process of the server.
    """
    count = context.count(_TASKS)
    with comparison_app("fast_product")(context) as server:
        begin_s = time.perf_counter()
        for _ in range(count):
            task_client.post(server)
        task_client.wait_until_ended(server)
        elapsed_s = time.perf_counter() - begin_s
    return Sample(count / elapsed_s, {"tasks": count, "seconds": round(elapsed_s, 3)})


def _start_ms(serve: Serve) -> Measure:
    """The time in ms from the command to the first accepted connection."""

    def measure(context: BenchmarkContext) -> Sample:
        with serve(context) as server:
            return Sample(server.started_in_s * 1_000)

    return measure


@contextmanager
def _bare(_context: BenchmarkContext) -> Iterator[Running]:
    port = free_port()
    with running([sys.executable, "-c", _BARE, str(port)], port) as server:
        yield server


def _start(name: str, serve: Serve, target: Target | None = None) -> Benchmark:
    return Benchmark(
        name=name,
        unit="ms",
        ours=_start_ms(serve),
        baseline=_start_ms(_bare),
        baseline_name="bare aiohttp",
        target=target,
    )


def _path_ms(name: str) -> Measure:
    """The median of a step of tasks that are ordered one by one; see `task_path`."""

    def measure(context: BenchmarkContext) -> Sample:
        with comparison_app("fast_product")(context) as server:
            found = task_path(server, context.count(_ORDERS))
        return Sample(found[name]["p50"], found)

    return measure


TASKS = (
    Benchmark(name="tasks through worker and emulator", unit="/s", ours=tasks_per_second),
    Benchmark(
        name="from a POST to the first progress on a joined channel, median",
        unit="ms",
        ours=_path_ms("told"),
        target=Target(max_value=5),
        digits=1,
    ),
    Benchmark(
        name="from a POST to the end of a task whose model takes no time, median",
        unit="ms",
        ours=_path_ms("ended"),
        digits=1,
    ),
)

STARTUP = (
    _start("start-up, reference channel set", reference_set),
    _start("start-up, task server", task_server),
)
