"""Heartbeats at a steady pace, whatever the server does.

Run with `python -m tests.benchmarks.loads.beats PORT …`.

A client that waits for each answer sends little while the server is busy, and so hardly sees it.
This one sends when the time has come and counts each wait from then, so a stall shows in every
heartbeat that fell into it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence

from tests.benchmarks.loads.load import finished
from tests.benchmarks.machine import LOAD_CORE, pinned
from tests.benchmarks.servers import Running
from tests.wire import PhoenixWire

PER_S = 200
_DRAIN_S = 10.0


def beats(server: Running, seconds: float) -> dict[str, float]:
    """The waits of the heartbeats of so many seconds, in ms: `beats`, `p50`, `p99`, `max`.

    Raises:
        BenchError: one was not answered.
    """
    own = ["-m", "tests.benchmarks.loads.beats", str(server.port), str(seconds)]
    found: dict[str, float] = finished(pinned([sys.executable, *own], LOAD_CORE))
    return found


async def waits_ms(port: int, seconds: float) -> list[float]:
    """Send them, and wait for every answer."""
    wire = await PhoenixWire.open(f"http://127.0.0.1:{port}")
    count = max(int(seconds * PER_S), 1)
    begin_s = time.perf_counter() + 0.1
    waits: list[float] = []

    async def hear() -> None:
        for number in range(count):
            _join_ref, ref, _topic, _event, payload = await wire.recv()
            assert (ref, payload["status"]) == (str(number), "ok")
            waits.append((time.perf_counter() - begin_s - number / PER_S) * 1_000)

    hearing = asyncio.create_task(hear())
    for number in range(count):
        await asyncio.sleep(begin_s + number / PER_S - time.perf_counter())
        await wire.send([None, str(number), "phoenix", "heartbeat", {}])
    async with asyncio.timeout(_DRAIN_S):
        await hearing
    await wire.close()
    return waits


def summary(waits: Sequence[float]) -> dict[str, float]:
    """What is told of waits in ms."""
    ordered = sorted(waits)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    told = {name: ordered[int((len(ordered) - 1) * share)] for name, share in at.items()}
    return {"beats": len(ordered), **{name: round(wait, 3) for name, wait in told.items()}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args(arguments)
    waits = asyncio.run(waits_ms(options.port, options.seconds))
    sys.stdout.write(json.dumps(summary(waits)) + "\n")


if __name__ == "__main__":
    main()
