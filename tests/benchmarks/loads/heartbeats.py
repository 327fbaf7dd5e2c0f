"""Sends heartbeats at a constant rate: `python -m tests.benchmarks.loads.heartbeats PORT SECONDS`.

A client that waits for each answer sends less while the server is busy, and so hides the delay
(coordinated omission). This client sends on schedule and measures each wait from the scheduled
time, so a stall shows in every heartbeat that was due during it.
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

HEARTBEATS_PER_S = 200
_DRAIN_S = 10.0


def heartbeats(server: Running, seconds: float) -> dict[str, float]:
    """Send heartbeats for this long. Returns their number, and `p50`, `p99` and `max` in ms.

    Raises:
        BenchmarkError: a heartbeat was not answered.
    """
    own = ["-m", "tests.benchmarks.loads.heartbeats", str(server.port), str(seconds)]
    found: dict[str, float] = finished(pinned([sys.executable, *own], LOAD_CORE))
    return found


async def waits_ms(port: int, seconds: float) -> list[float]:
    """Send the heartbeats, and return the wait of each answer in ms."""
    wire = await PhoenixWire.open(f"http://127.0.0.1:{port}")
    count = max(int(seconds * HEARTBEATS_PER_S), 1)
    begin_s = time.perf_counter() + 0.1
    waits: list[float] = []

    async def receive() -> None:
        for number in range(count):
            _join_ref, ref, _topic, _event, payload = await wire.recv()
            assert (ref, payload["status"]) == (str(number), "ok")
            waits.append((time.perf_counter() - begin_s - number / HEARTBEATS_PER_S) * 1_000)

    receiving = asyncio.create_task(receive())
    for number in range(count):
        await asyncio.sleep(begin_s + number / HEARTBEATS_PER_S - time.perf_counter())
        await wire.send([None, str(number), "phoenix", "heartbeat", {}])
    async with asyncio.timeout(_DRAIN_S):
        await receiving
    await wire.close()
    return waits


def summary(waits: Sequence[float]) -> dict[str, float]:
    """The number and the percentiles of waits in ms."""
    ordered = sorted(waits)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    percentiles = {name: ordered[int((len(ordered) - 1) * share)] for name, share in shares.items()}
    return {
        "beats": len(ordered),
        **{name: round(wait, 3) for name, wait in percentiles.items()},
    }


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
