"""One client that orders tasks, one after another: `python -m … PORT COUNT`.

As an app: POST, join the task's channel on a connection that is open, and wait for `progress`. It
prints the median, p90 and maximum, in ms from the POST, of the 202, of the first `progress`, and of
the event that ends the task.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from tests.benchmarks.loads.load import finished
from tests.benchmarks.machine import LOAD_CORE, pinned
from tests.benchmarks.servers import Running
from tests.wire import PhoenixWire

_BODY = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
_WARMUP = 5
_LIMIT_S = 60.0


def task_path(server: Running, count: int) -> dict[str, dict[str, float]]:
    """Order so many tasks. Returns the figures by their names: `posted`, `told` and `ended`."""
    own = ["-m", "tests.benchmarks.loads.task_path", str(server.port), str(count)]
    found: dict[str, dict[str, float]] = finished(pinned([sys.executable, *own], LOAD_CORE))
    return found


async def _order(http: aiohttp.ClientSession, wire: PhoenixWire, number: int) -> dict[str, float]:
    began_s = time.perf_counter()

    def ms() -> float:
        return (time.perf_counter() - began_s) * 1_000

    async with http.post("/api/tasks", json=_BODY) as answer:
        assert answer.status == 202, await answer.text()
        task_id = (await answer.json())["task_id"]
    times = {"posted": ms()}
    own_topic, ref = f"task:{task_id}", str(number)
    await wire.send([ref, ref, own_topic, "phx_join", {}])
    while True:
        _join_ref, _ref, topic, event, payload = await wire.recv()
        if event != "progress" or topic != own_topic:
            continue
        times.setdefault("told", ms())
        if payload["status"] != "processing":
            assert payload["status"] == "completed", payload
            times["ended"] = ms()
            await wire.send([ref, None, own_topic, "phx_leave", {}])
            return times


async def orders(port: int, count: int) -> list[dict[str, float]]:
    """The times of each task, without the first ones."""
    url = f"http://127.0.0.1:{port}"
    wire = await PhoenixWire.open(url)
    async with aiohttp.ClientSession(url) as http, asyncio.timeout(_LIMIT_S):
        found = [await _order(http, wire, number) for number in range(count + _WARMUP)]
    await wire.close()
    return found[_WARMUP:]


def summary(found: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """The figures by name."""
    result: dict[str, dict[str, float]] = {}
    for name in ("posted", "told", "ended"):
        ordered = sorted(one[name] for one in found)
        last = len(ordered) - 1
        shares: dict[str, float] = {"p50": 0.5, "p90": 0.9, "max": 1.0}
        result[name] = {key: round(ordered[int(last * share)], 2) for key, share in shares.items()}
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    options: Any = parser.parse_args(arguments)
    found = asyncio.run(orders(options.port, options.count))
    sys.stdout.write(json.dumps(summary(found)) + "\n")


if __name__ == "__main__":
    main()
