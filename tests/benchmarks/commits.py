"""How many tasks a second become durable, when writes share commits and when each has its own.

    python -m tests.benchmarks.commits [folder]

Adds tasks from many callers at once, each answered after its fsync, on the disk of that folder.
Takes the two ways in turn, so that a slow minute of the disk slows both; prints medians, and beside
them what the disk does at best: bare commits one after the other.
"""

# ruff: noqa: T201 - the result goes to stdout

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from phoenix_compat.tasks.clock import SystemClock
from phoenix_compat.tasks.database import Database
from phoenix_compat.tasks.store import TaskStore
from phoenix_compat.tasks.writer import MAX_BATCH
from tests.integration.workshop import SCHEMA, order

ROUNDS = 5
CALLERS = (1, 10, 50, 200)
ADDS = 1_000


async def adds_a_second(path: Path, callers: int, max_batch: int) -> tuple[float, float]:
    """Durable adds a second and writes a commit, with so many callers at once."""
    params = order()
    database = await Database.open(path, SCHEMA, max_batch=max_batch)
    async with TaskStore(database, SystemClock()) as store:
        turns = iter(range(ADDS))

        async def call() -> None:
            for _ in turns:
                await store.add(params)

        begin_s = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        elapsed_s = time.perf_counter() - begin_s
        counts = store.write_counts
    return ADDS / elapsed_s, counts.writes / counts.batches


def bare_commits_a_second(path: Path) -> float:
    """What one connection does with an insert and an fsync at a time, and nothing else."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE bare (text TEXT)")
        begin_s = time.perf_counter()
        for _ in range(ADDS):
            connection.execute("INSERT INTO bare VALUES (?)", ("x" * 500,))
        return ADDS / (time.perf_counter() - begin_s)


def measure(folder: Path, callers: int) -> dict[str, object]:
    """The medians of both ways, taken in turn."""
    alone, shared, sizes = [], [], []
    for number in range(ROUNDS):
        rate, _ = asyncio.run(adds_a_second(folder / f"alone-{callers}-{number}.db", callers, 1))
        alone.append(rate)
        path = folder / f"shared-{callers}-{number}.db"
        rate, size = asyncio.run(adds_a_second(path, callers, MAX_BATCH))
        shared.append(rate)
        sizes.append(size)
    one, many = statistics.median(alone), statistics.median(shared)
    return {
        "callers": callers,
        "one commit each, adds/s": round(one),
        "group commit, adds/s": round(many),
        "writes a commit": round(statistics.median(sizes), 1),
        "ratio": round(many / one, 2),
    }


def main() -> None:
    """Measure and print a JSON line for each number of callers."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, nargs="?", help="where the databases are made")
    parent = parser.parse_args().folder
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        bare = round(bare_commits_a_second(folder / "bare.db"))
        machine = f"{platform.machine()}, SQLite {sqlite3.sqlite_version}"
        print(json.dumps({"machine": machine, "bare commits/s": bare}))
        for callers in CALLERS:
            print(json.dumps(measure(folder, callers)))


if __name__ == "__main__":
    main()
