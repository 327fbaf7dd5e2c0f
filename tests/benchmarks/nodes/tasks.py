"""Tasks on PostgreSQL beside tasks on SQLite, and what two nodes need beside one."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import TypeAlias

import asyncpg

from tests.benchmarks.benchmark import Benchmark, Measure, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads import task_client
from tests.benchmarks.loads.companion import companion
from tests.benchmarks.machine import LOAD_CORE, SERVER_CORE
from tests.benchmarks.nodes.services import nats, postgres
from tests.benchmarks.servers import Running, free_port, running

_TASKS = 800
_CLIENTS = 16
_CORES = (SERVER_CORE, LOAD_CORE)
_FIRST_TASKS = 16
"""Each node does these first: its first requests import the provider's SDK, once for all tasks."""
_STATISTICS_S = 1.5
_COUNTS = """
SELECT sum(xact_commit) AS commits, pg_current_wal_lsn() - '0/0'::pg_lsn AS log_bytes
FROM pg_stat_database
"""

Nodes: TypeAlias = AbstractContextManager[list[Running]]


@contextmanager
def _emulator() -> Iterator[int]:
    port = free_port()
    with companion("tests.benchmarks.nodes.emulator", port):
        yield port


@contextmanager
def _node(
    context: BenchmarkContext, emulator: int, *settings: str, core: int = SERVER_CORE
) -> Iterator[Running]:
    port = free_port()
    own = map(str, (port, context.new_folder(), emulator, *settings))
    command = [sys.executable, "-m", "tests.benchmarks.nodes.task_node", *own]
    with running(command, port, core=core) as node:
        yield node


def _shared(context: BenchmarkContext, url: str) -> tuple[str, str]:
    """The settings of nodes on one database."""
    return f"database_url={url}", f"files_url=file://{context.new_folder()}"


@contextmanager
def _on_sqlite(context: BenchmarkContext) -> Iterator[list[Running]]:
    with _emulator() as emulator, _node(context, emulator) as node:
        yield [node]


@contextmanager
def _on_postgres(
    context: BenchmarkContext, count: int, cores: Sequence[int] = (SERVER_CORE,)
) -> Iterator[list[Running]]:
    """Nodes on one database.

    Args:
        cores: which each of them has, one after the other.
    """
    with ExitStack() as stack:
        emulator = stack.enter_context(_emulator())
        settings = _shared(context, stack.enter_context(postgres(context.new_folder())))
        yield [
            stack.enter_context(_node(context, emulator, *settings, core=core))
            for core in islice(cycle(cores), count)
        ]


@contextmanager
def _on_postgres_and_nats(context: BenchmarkContext) -> Iterator[list[Running]]:
    """The same for one node whose bus is not PostgreSQL."""
    with ExitStack() as stack:
        emulator = stack.enter_context(_emulator())
        settings = _shared(context, stack.enter_context(postgres(context.new_folder())))
        bus = f"bus_url={stack.enter_context(nats(context.new_folder()))}"
        yield [stack.enter_context(_node(context, emulator, *settings, bus))]


@contextmanager
def _apart(context: BenchmarkContext, count: int) -> Iterator[list[Running]]:
    """As many nodes, each of which has a database of its own, so that it is alone."""
    with ExitStack() as stack:
        emulator = stack.enter_context(_emulator())
        url = stack.enter_context(postgres(context.new_folder()))
        urls = asyncio.run(_new_databases(url, count))
        yield [
            stack.enter_context(_node(context, emulator, *_shared(context, one))) for one in urls
        ]


async def _new_databases(url: str, count: int) -> list[str]:
    connection = await asyncpg.connect(url)
    names = [f"apart_{number}" for number in range(count)]
    for name in names:
        await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return [f"{url.rpartition('/')[0]}/{name}" for name in names]


def _run(context: BenchmarkContext, nodes: Sequence[Running]) -> dict[str, float]:
    """The rate of tasks, from the first POST to the last picture, and the CPU time of the nodes."""
    tasks = context.count(_TASKS)
    for node in nodes:
        for _ in range(_FIRST_TASKS):
            task_client.post(node)
        task_client.wait_until_ended(node)
    begin_s, begin_cpu_s = time.perf_counter(), sum(map(_cpu_s, nodes))
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(task_client.post, islice(cycle(nodes), tasks)))
    for node in nodes:
        task_client.wait_until_ended(node)
    passed_s, cpu_s = time.perf_counter() - begin_s, sum(map(_cpu_s, nodes)) - begin_cpu_s
    return {"tasks": tasks, "per_s": tasks / passed_s, "cpu_ms_per_task": 1_000 * cpu_s / tasks}


def _measure(serve: Callable[[BenchmarkContext], Nodes], value: str) -> Measure:
    def measure(context: BenchmarkContext) -> Sample:
        with serve(context) as nodes:
            found = _run(context, nodes)
        return Sample(found[value], found)

    return measure


def _database_cost(context: BenchmarkContext) -> Sample:
    """What PostgreSQL does for a task: its commits, and the bytes of its write-ahead log."""
    with ExitStack() as stack:
        emulator = stack.enter_context(_emulator())
        url = stack.enter_context(postgres(context.new_folder()))
        bus = f"bus_url={stack.enter_context(nats(context.new_folder()))}"
        node = stack.enter_context(_node(context, emulator, *_shared(context, url), bus))
        before = asyncio.run(_database_counts(url))
        tasks = int(_run(context, [node])["tasks"])
        after = asyncio.run(_database_counts(url))
    tasks += _FIRST_TASKS
    commits, log_bytes = ((end - begin) / tasks for begin, end in zip(before, after, strict=True))
    return Sample(commits, {"tasks": tasks, "commits": commits, "log_bytes": log_bytes})


async def _database_counts(url: str) -> tuple[int, int]:
    """The commits and the bytes of the log since the start of the server."""
    connection = await asyncpg.connect(url)
    # The counts of other sessions arrive within a second of their last transaction.
    await asyncio.sleep(_STATISTICS_S)
    (row,) = await connection.fetch(_COUNTS)
    await connection.close()
    return int(row["commits"]), int(row["log_bytes"])


def _cpu_s(node: Running) -> float:
    """The processor time of a node so far, in seconds."""
    fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


TASKS = (
    Benchmark(
        name="tasks, one node on PostgreSQL",
        unit="/s",
        ours=_measure(lambda context: _on_postgres(context, 1), "per_s"),
        baseline=_measure(_on_sqlite, "per_s"),
        baseline_name="SQLite",
        target=Target(min_ratio=0.5),
        digits=1,
    ),
    Benchmark(
        name="tasks, one node on PostgreSQL, which is the bus too",
        unit="/s",
        ours=_measure(lambda context: _on_postgres(context, 1), "per_s"),
        baseline=_measure(_on_postgres_and_nats, "per_s"),
        baseline_name="NATS is the bus",
        digits=1,
    ),
    Benchmark(
        name="CPU of a task, two nodes on one core",
        unit="ms",
        ours=_measure(lambda context: _on_postgres(context, 2), "cpu_ms_per_task"),
        baseline=_measure(lambda context: _apart(context, 2), "cpu_ms_per_task"),
        baseline_name="two alone",
        target=Target(max_ratio=1.15),
        digits=2,
    ),
    Benchmark(
        name="CPU of a task, two nodes with a core each, beside one node",
        unit="ms",
        ours=_measure(lambda context: _on_postgres(context, 2, _CORES), "cpu_ms_per_task"),
        baseline=_measure(lambda context: _on_postgres(context, 1), "cpu_ms_per_task"),
        baseline_name="one node",
        target=Target(max_ratio=1.15),
        digits=2,
    ),
    Benchmark(name="PostgreSQL's commits for a task", unit="", ours=_database_cost, digits=1),
)
"""Two nodes that share a core slow each other down; so do the two that are alone."""
