"""Durable adds per second: many concurrent callers add tasks and wait for the commit.

The baseline is one commit for each task, on the same disk. The process collects garbage in the same
way as the server. The JSON line also has the rate of bare commits, which is the limit of the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from phoenix_compat.server.process.listening import settle_garbage
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from phoenix_compat.tasks.store.sqlite.writer import MAX_BATCH
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.benchmarks.benchmark import Benchmark, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import finished
from tests.benchmarks.machine import SERVER_CORE, pinned
from tests.integration.worker.worker_harness import SCHEMA, task_params

_ADDS_SHARED, _ADDS_ALONE = 8_000, 2_000
"""Chosen so that both sides take about the same time."""


def _commits(name: str, callers: int, target: Target | None = None) -> Benchmark:
    def measure(context: BenchmarkContext, max_batch: int, adds: int) -> Sample:
        own = ["-m", "tests.benchmarks.cases.commits", str(context.new_folder())]
        numbers = [str(number) for number in (callers, max_batch, context.count(adds))]
        found = finished(pinned([sys.executable, *own, *numbers], SERVER_CORE))
        return Sample(float(found["adds_per_s"]), found)

    return Benchmark(
        name=name,
        unit="/s",
        ours=lambda context: measure(context, MAX_BATCH, _ADDS_SHARED),
        baseline=lambda context: measure(context, 1, _ADDS_ALONE),
        baseline_name="one commit per task",
        target=target,
    )


COMMITS = (
    _commits("durable adds, 10 callers", 10),
    _commits("durable adds, 50 callers", 50),
    _commits("durable adds, 200 callers", 200, Target(min_ratio=10)),
    _commits("durable adds, 1 000 callers", 1_000),
)
"""The gain of shared commits by number of concurrent callers."""


async def adds_per_second(
    path: Path, callers: int, max_batch: int, adds: int
) -> tuple[float, float]:
    """Durable adds per second with this many callers, and the average adds per commit."""
    params = task_params()
    database = await SQLiteDatabase.open(path, SCHEMA, max_batch=max_batch)
    async with TaskStore(database, SystemClock()) as store:
        remaining = iter(range(adds))

        async def call() -> None:
            for _ in remaining:
                await store.add(params)

        settle_garbage()
        begin_s = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        elapsed_s = time.perf_counter() - begin_s
        counts = store.write_counts
    return adds / elapsed_s, counts.writes / counts.batches


def bare_commits_per_second(path: Path, commits: int) -> float:
    """Commits per second of one connection, with one insert and one fsync each."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE bare (text TEXT)")
        begin_s = time.perf_counter()
        for _ in range(commits):
            connection.execute("INSERT INTO bare VALUES (?)", ("x" * 500,))
        return commits / (time.perf_counter() - begin_s)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one side and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="the folder for the database")
    for number in ("callers", "max_batch", "adds"):
        parser.add_argument(number, type=int)
    options = parser.parse_args(arguments)
    numbers = (options.callers, options.max_batch, options.adds)
    rate, size = asyncio.run(adds_per_second(options.folder / "tasks.db", *numbers))
    found = {
        "adds_per_s": round(rate, 1),
        "writes_per_commit": round(size, 1),
        "bare_commits_per_s": round(bare_commits_per_second(options.folder / "bare.db", 500), 1),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
