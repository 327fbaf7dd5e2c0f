"""The p99 latency of heartbeats while the server is busy with other work."""

from __future__ import annotations

from tests.benchmarks.benchmark import Benchmark, BenchmarkError, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads import task_client
from tests.benchmarks.loads.heartbeats import heartbeats
from tests.benchmarks.loads.load import background
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.servers import comparison_app, reference_set

_LISTENERS = 1_000
_TASKS = 200
_SECONDS = 5


def during_broadcasts(context: BenchmarkContext) -> Sample:
    """With 16 broadcasts in flight to 1 000 listeners."""
    raise_open_file_limit(_LISTENERS + 500)
    broadcasts = ["fanout", "-n", _LISTENERS, "-w", 16, "-m", 1_000_000, "-t", "room:load"]
    with reference_set(context) as server, background(context, server, broadcasts, settled_s=2.0):
        found = heartbeats(server, context.seconds(_SECONDS))
    return Sample(found["p99"], found)


def during_tasks(context: BenchmarkContext) -> Sample:
    """With 200 tasks in progress and the emulator drawing pictures in the same process."""
    with comparison_app("product")(context) as server:
        for _ in range(context.count(_TASKS)):
            task_client.post(server)
        found = heartbeats(server, context.seconds(_SECONDS))
        ended = task_client.ended(server)
    if ended == 0 and not context.is_quick:
        raise BenchmarkError("no task ended during the measurement of the heartbeats")
    return Sample(found["p99"], found | {"tasks_ended_meanwhile": ended})


LATENCY = (
    Benchmark(
        name="p99 of a heartbeat during broadcasts",
        unit="ms",
        ours=during_broadcasts,
        target=Target(max_value=50),
        digits=1,
    ),
    Benchmark(
        name="p99 of a heartbeat while 200 tasks run",
        unit="ms",
        ours=during_tasks,
        target=Target(max_value=20),
        digits=1,
    ),
)
"""Both load generators share a core, so the results include the wait for that core."""
