"""What a second process gives, and what it costs to reach it.

    python -m tests.benchmarks.works.workers [FOLDER of phxload.c]

Echoes with one process and with two, in turn, with the reference channel set. The load generator
needs a core too; where there are only two, all share them. Hence several figures:

    pipelined   64 in flight on each of 32 connections, by a generator that takes a third of a core
                (loads/pipelined.py), nothing pinned: two processes beside each other
    free        100 connections with one in flight, by phxload, which takes two thirds of a core and
                more: on two cores it says as much about the generator
    one core    the same, the server on one core, the generator on another: two processes there must
                do what one does, or running in two costs something

Then a broadcast from a client of one process to a client of the same, and to one of another, in one
breath: the difference is what the bus adds. Prints a JSON line for each run and the medians.
"""

# ruff: noqa: T201 - the result goes to stdout

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import ROOT
from tests.benchmarks.tools import DEFAULT_FOLDER, Tools
from tests.benchmarks.work import BenchError
from tests.integration.multiprocess.multiprocess_harness import REFERENCE, MultiprocessServer
from tests.integration.operations.commands import environment, finish, listening_url
from tests.wire import PhoenixWire

ROOM = "room:bench"
_ECHO = ("echo", "-n", "100", "-d", "4")
_BROADCASTS = 2_000
_WARMUP = 200


@asynccontextmanager
async def server(workers: int, core: str | None) -> AsyncIterator[MultiprocessServer]:
    """The reference channel set in so many processes, on one core or on all."""
    pinned = () if core is None else ("taskset", "-c", core)
    with tempfile.TemporaryDirectory(prefix="co-") as name:
        process = await asyncio.create_subprocess_exec(
            *(*pinned, sys.executable, *REFERENCE, "--workers", str(workers)),
            env=environment({"TMPDIR": name}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield MultiprocessServer(process, await listening_url(process), Path(name))
        finally:
            process.terminate()
            await finish(process)


async def echo(phxload: Path, workers: int, *, is_pinned: bool) -> dict[str, Any]:
    """Round trips a second, and what one costs the server."""
    async with server(workers, "0" if is_pinned else None) as scene:
        pinned = ("taskset", "-c", "1") if is_pinned else ()
        process = await asyncio.create_subprocess_exec(
            *(*pinned, str(phxload), *_ECHO, "-p", scene.url.rpartition(":")[2]),
            *("--pid", str(scene.process.pid), "--children"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"phxload failed:\n{err.decode()}")
    result: dict[str, Any] = json.loads(out)
    return {
        "work": "echo, 100 connections",
        "workers": workers,
        "placed": "one core" if is_pinned else "free",
        **result,
    }


async def pipelined(workers: int) -> dict[str, Any]:
    """Echoes a second with many in flight, nothing pinned."""
    async with server(workers, None) as scene:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "tests.benchmarks.loads.pipelined",
                scene.url.rpartition(":")[2],
            ),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(err.decode())
    result: dict[str, Any] = json.loads(out)
    return {"workers": workers, "placed": "free", **result}


async def broadcasts() -> dict[str, Any]:
    """How long a broadcast takes to a client of the same process and to one of another, in ms."""
    near_ms, far_ms = [], []
    async with server(2, None) as scene:
        sender, near, far = [await scene.wire(node) for node in (0, 0, 1)]
        for wire in (sender, near, far):
            await wire.join(ROOM)
        for number in range(_WARMUP + _BROADCASTS):
            begin_s = time.perf_counter()
            await sender.send(["1", str(number), ROOM, "broadcast_from", {"n": number}])
            took_ms = await asyncio.gather(*(_heard_ms(wire, begin_s) for wire in (near, far)))
            await sender.recv()
            if number >= _WARMUP:
                near_ms.append(took_ms[0])
                far_ms.append(took_ms[1])
        await scene.close_clients()
    added_ms = sorted(far - near for near, far in zip(near_ms, far_ms, strict=True))
    return {
        "work": "broadcast, 1 in flight",
        "same_process_p50_ms": round(statistics.median(near_ms), 3),
        "other_process_p50_ms": round(statistics.median(far_ms), 3),
        "added_p50_ms": round(statistics.median(added_ms), 3),
        "added_p99_ms": round(added_ms[len(added_ms) * 99 // 100], 3),
    }


async def _heard_ms(wire: PhoenixWire, begin_s: float) -> float:
    await wire.recv_frame()
    return (time.perf_counter() - begin_s) * 1000


async def measure(phxload: Path, rounds: int) -> None:
    """All runs, each kind in turn, and the medians."""
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": sys.version[:6]}
    rates: dict[tuple[int, bool], list[float]] = {}
    deep: dict[int, list[float]] = {1: [], 2: []}
    added: list[float] = []
    for number in range(rounds):
        for is_pinned in (True, False):
            for workers in (1, 2):
                result = await echo(phxload, workers, is_pinned=is_pinned)
                rates.setdefault((workers, is_pinned), []).append(result["ops_per_s"])
                print(json.dumps({"round": number, **machine, **result}), flush=True)
        for workers in (1, 2):
            result = await pipelined(workers)
            deep[workers].append(result["ops_per_s"])
            print(json.dumps({"round": number, **machine, **result}), flush=True)
        latency = await broadcasts()
        added.append(latency["added_p50_ms"])
        print(json.dumps({"round": number, **machine, **latency}), flush=True)
    one_core, two_on_one_core, one, two = (
        statistics.median(rates[key]) for key in ((1, True), (2, True), (1, False), (2, False))
    )
    deep_one, deep_two = (statistics.median(deep[workers]) for workers in (1, 2))
    summary = {
        "pipelined echo, 1 process": round(deep_one),
        "pipelined echo, 2 processes": round(deep_two),
        "ratio, pipelined": round(deep_two / deep_one, 2),
        "echo, 1 process, free": round(one),
        "echo, 2 processes, free": round(two),
        "ratio, free": round(two / one, 2),
        "echo, 1 process, one core": round(one_core),
        "echo, 2 processes, one core": round(two_on_one_core),
        "ratio, one core": round(two_on_one_core / one_core, 2),
        "broadcast, added by another process, p50 ms": statistics.median(added),
    }
    print(json.dumps(summary))


def main() -> None:
    """Build the generator, or take one that is built, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "sources", type=Path, nargs="?", default=DEFAULT_FOLDER, help="the folder of phxload.c"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            phxload = Tools(options.sources, Path(folder)).phxload
        except BenchError as error:
            raise SystemExit(f"bench: {error}") from error
        asyncio.run(measure(phxload, options.rounds))


if __name__ == "__main__":
    main()
