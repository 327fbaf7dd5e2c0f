"""The provider of all nodes, without limits: `python -m tests.benchmarks.nodes.emulator PORT`.

Its models take almost no time. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.benchmarks.loads.until_told import run_until_told, say_that_it_works

_NO_LIMIT: Final = 1_000_000
SPEED: Final = 1_000.0


async def serve(port: int) -> None:
    """Serve until cancelled."""
    settings = EmulatorSettings(
        port=port, speed=SPEED, creates_per_minute=_NO_LIMIT, requests_per_minute=_NO_LIMIT
    )
    async with Emulator(settings):
        say_that_it_works()
        await asyncio.Event().wait()


if __name__ == "__main__":
    run_until_told(serve(int(sys.argv[1])))
