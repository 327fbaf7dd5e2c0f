"""Creates tasks at a constant rate: `python -m tests.benchmarks.loads.steady_tasks PORT RATE`.

RATE is the number of tasks per minute. A task that is not accepted ends the program.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

import aiohttp

from tests.benchmarks.loads.until_told import run_until_told, say_that_it_works

_BODY: Final = {"input_data": {"type": "image", "prompt": "A monk who illuminates a manuscript"}}
_MAX_WAITING: Final = 100
"""With more unanswered requests no further ones are sent: the rate is then lower."""


async def create(port: int, per_minute: float) -> None:
    """Create tasks on schedule."""
    begin_s = time.monotonic()
    free = asyncio.Semaphore(_MAX_WAITING)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as posts:

        async def post() -> None:
            try:
                url = f"http://127.0.0.1:{port}/api/tasks"
                async with http.post(url, json=_BODY) as answer:
                    found: Any = await answer.text()
                    if answer.status != 202:
                        raise RuntimeError(f"{answer.status}: {found}")
            finally:
                free.release()

        say_that_it_works()
        number = 0
        while True:
            number += 1
            await free.acquire()
            posts.create_task(post())
            await asyncio.sleep(max(begin_s + number * 60 / per_minute - time.monotonic(), 0))


if __name__ == "__main__":
    run_until_told(create(int(sys.argv[1]), float(sys.argv[2])))
