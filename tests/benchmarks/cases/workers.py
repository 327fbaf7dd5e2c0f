"""Compares one process with two: the throughput of echoes and the latency of broadcasts.

    python -m tests.benchmarks.cases.workers [FOLDER of phxload.c]

It measures echoes with one process and with two, in turn, with the reference channels. The load
generator needs CPU too, which matters on a machine with two cores. Hence there are three figures:

    pipelined   64 in flight on each of 32 connections, nothing pinned; the generator
                (loads/pipelined.py) uses a third of a core
    free        100 connections with one in flight, nothing pinned; the generator (phxload) uses two
                thirds of a core or more, which limits the result on two cores
    one core    the same with the server on one core and the generator on another; two processes
                should reach the figure of one, and the difference is the overhead

Then it measures a broadcast to a client of the same process and to one of another process at the
same time; the difference is the latency of the bus. It prints a JSON line for each run and the
medians.
"""

# ruff: noqa: T201 - the result is printed

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

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.machine import ROOT
from tests.benchmarks.tools import DEFAULT_FOLDER, Tools
from tests.integration.multiprocess.multiprocess_harness import REFERENCE, MultiprocessServer
from tests.integration.operations.commands import environment, finish, listening_url
from tests.wire import PhoenixWire

TOPIC = "room:bench"
_ECHO = ("echo", "-n", "100", "-d", "4")
_BROADCASTS = 2_000
_WARMUP = 200


@asynccontextmanager
async def server(workers: int, core: str | None) -> AsyncIterator[MultiprocessServer]:
    """Run the reference channels in this many processes, on one core or on all."""
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
    """Round trips per second, and the CPU time of one at the server."""
    async with server(workers, "0" if is_pinned else None) as server_group:
        pinned = ("taskset", "-c", "1") if is_pinned else ()
        process = await asyncio.create_subprocess_exec(
            *(*pinned, str(phxload), *_ECHO, "-p", server_group.url.rpartition(":")[2]),
            *("--pid", str(server_group.process.pid), "--children"),
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
    """Echoes per second with many in flight, nothing pinned."""
    async with server(workers, None) as server_group:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "tests.benchmarks.loads.pipelined",
                server_group.url.rpartition(":")[2],
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
    """The latency of a broadcast in ms, to a client of the same process and of another one."""
    same_ms, other_ms = [], []
    async with server(2, None) as server_group:
        sender, same, other = [await server_group.wire(node) for node in (0, 0, 1)]
        for wire in (sender, same, other):
            await wire.join(TOPIC)
        for number in range(_WARMUP + _BROADCASTS):
            begin_s = time.perf_counter()
            await sender.send(["1", str(number), TOPIC, "broadcast_from", {"n": number}])
            took_ms = await asyncio.gather(*(_receive_ms(wire, begin_s) for wire in (same, other)))
            await sender.recv()
            if number >= _WARMUP:
                same_ms.append(took_ms[0])
                other_ms.append(took_ms[1])
        await server_group.close_clients()
    added_ms = sorted(other - same for same, other in zip(same_ms, other_ms, strict=True))
    return {
        "work": "broadcast, 1 in flight",
        "same_process_p50_ms": round(statistics.median(same_ms), 3),
        "other_process_p50_ms": round(statistics.median(other_ms), 3),
        "added_p50_ms": round(statistics.median(added_ms), 3),
        "added_p99_ms": round(added_ms[len(added_ms) * 99 // 100], 3),
    }


async def _receive_ms(wire: PhoenixWire, begin_s: float) -> float:
    await wire.recv_frame()
    return (time.perf_counter() - begin_s) * 1000


async def measure(phxload: Path, rounds: int) -> None:
    """Print all runs, one after the other, and the medians."""
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": sys.version[:6]}
    rates: dict[tuple[int, bool], list[float]] = {}
    pipelined_rates: dict[int, list[float]] = {1: [], 2: []}
    added: list[float] = []
    for number in range(rounds):
        for is_pinned in (True, False):
            for workers in (1, 2):
                result = await echo(phxload, workers, is_pinned=is_pinned)
                rates.setdefault((workers, is_pinned), []).append(result["ops_per_s"])
                print(json.dumps({"round": number, **machine, **result}), flush=True)
        for workers in (1, 2):
            result = await pipelined(workers)
            pipelined_rates[workers].append(result["ops_per_s"])
            print(json.dumps({"round": number, **machine, **result}), flush=True)
        latency = await broadcasts()
        added.append(latency["added_p50_ms"])
        print(json.dumps({"round": number, **machine, **latency}), flush=True)
    one_core, two_on_one_core, one, two = (
        statistics.median(rates[key]) for key in ((1, True), (2, True), (1, False), (2, False))
    )
    pipelined_one, pipelined_two = (
        statistics.median(pipelined_rates[workers]) for workers in (1, 2)
    )
    summary = {
        "pipelined echo, 1 process": round(pipelined_one),
        "pipelined echo, 2 processes": round(pipelined_two),
        "ratio, pipelined": round(pipelined_two / pipelined_one, 2),
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
    """Compile the load generator and measure."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "sources", type=Path, nargs="?", default=DEFAULT_FOLDER, help="the folder of phxload.c"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            phxload = Tools(options.sources, Path(folder)).phxload
        except BenchmarkError as error:
            raise SystemExit(f"Error: {error}") from error
        asyncio.run(measure(phxload, options.rounds))


if __name__ == "__main__":
    main()
