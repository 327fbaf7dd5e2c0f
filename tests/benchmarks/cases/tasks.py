"""The throughput of tasks from the POST to the picture, and the start-up time of the servers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.benchmark import Benchmark, Measure, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads import task_client
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


TASKS = (Benchmark(name="tasks through worker and emulator", unit="/s", ours=tasks_per_second),)

STARTUP = (
    _start("start-up, reference channel set", reference_set),
    _start("start-up, task server", task_server),
)
