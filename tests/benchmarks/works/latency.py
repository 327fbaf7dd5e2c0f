"""How long a heartbeat waits at worst, while the server is busy with something else."""

from __future__ import annotations

from tests.benchmarks.loads import task_client
from tests.benchmarks.loads.beats import beats
from tests.benchmarks.loads.load import background
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import bench_app, reference_set
from tests.benchmarks.work import BenchError, Sample, Target, Work

_LISTENERS = 1_000
_TASKS = 200
_SECONDS = 5


def in_a_flood(rig: Rig) -> Sample:
    """While 16 broadcasts are always on their way to 1 000 listeners."""
    raise_open_file_limit(_LISTENERS + 500)
    flood = ["fanout", "-n", _LISTENERS, "-w", 16, "-m", 1_000_000, "-t", "room:flood"]
    with reference_set(rig) as server, background(rig, server, flood, settled_s=2.0):
        found = beats(server, rig.seconds(_SECONDS))
    return Sample(found["p99"], found)


def with_tasks(rig: Rig) -> Sample:
    """While 200 tasks are in hand at once, and the emulator draws in the same process."""
    with bench_app("workshop")(rig) as server:
        for _ in range(rig.count(_TASKS)):
            task_client.post(server)
        found = beats(server, rig.seconds(_SECONDS))
        ended = task_client.ended(server)
    if ended == 0 and not rig.is_quick:
        raise BenchError("no task ended while the heartbeats were measured")
    return Sample(found["p99"], found | {"tasks_ended_meanwhile": ended})


LATENCY = (
    Work(
        name="p99 of a heartbeat in a flood",
        unit="ms",
        ours=in_a_flood,
        target=Target(max_value=50),
        digits=1,
    ),
    Work(
        name="p99 of a heartbeat while 200 tasks run",
        unit="ms",
        ours=with_tasks,
        target=Target(max_value=20),
        digits=1,
    ),
)
"""The client of the heartbeats shares a core with the flood's: its wait for that is counted too."""
