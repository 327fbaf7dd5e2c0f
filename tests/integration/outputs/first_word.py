"""Measures how long the first word of a text takes from the provider to a client.

    python -m tests.integration.outputs.first_word --texts 20

The server is a process of its own, in front of an emulator whose clock stands still: it writes the
first word when it is told to. The exit code is 1 when the median is above the bound.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp
import click

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.emulator.predictions.run_output import text_chunks
from tests.faults.server_process import ServerProcess
from tests.integration.outputs.text_client import TextClient
from tests.patience import patient

MAX_MEDIAN_S: Final = 0.05

_ROUND_UP_S: Final = 1e-6


async def first_word_lags_s(folder: Path, texts: int) -> list[float]:
    """For each text, the time from the provider's first word to the client's."""
    async with Emulator(EmulatorSettings(speed=1.0)) as emulator, aiohttp.ClientSession() as http:
        emulator.state.clock.scale(0.0)
        settings = {"REPLICATE_API_TOKEN": "r8_test", "REPLICATE_BASE_URL": emulator.base_url}
        server = ServerProcess(folder, settings)
        await server.start()
        try:
            await server.ready(http)
            return [await _first_word_s(emulator, server.url, http) for _ in range(texts)]
        finally:
            await server.kill()


async def _first_word_s(emulator: Emulator, url: str, http: aiohttp.ClientSession) -> float:
    state = emulator.state
    streams = state.counts["streams"]
    body = {"input_data": {"type": "chat", "prompt": "a story"}}
    async with http.post(f"{url}/api/tasks", json=body) as answer:
        client = TextClient(url, (await answer.json())["task_id"])
    await client.join()
    async with asyncio.timeout(patient(20.0)):
        while state.counts["streams"] == streams:  # noqa: ASYNC110 - a count sets no event
            await asyncio.sleep(0.005)
    *_, prediction = state.predictions
    share = 1 / len(text_chunks(prediction))
    at_s = prediction.starts_at_s + share * prediction.schedule.run_s + _ROUND_UP_S
    begin_s = time.perf_counter()
    state.clock.advance(max(at_s - state.clock.now_s(), 0.0))
    while not client.shown.events:
        await client.read()
    lag_s = time.perf_counter() - begin_s
    state.clock.advance(2 * prediction.schedule.run_s)
    await client.to_the_end()
    return lag_s


@click.command()
@click.option("--texts", default=20, show_default=True, help="Texts, one after the other.")
def main(*, texts: int) -> None:
    """Measure how long the first word of a text takes from the provider to a client."""
    with tempfile.TemporaryDirectory() as folder:
        lags_s = sorted(asyncio.run(first_word_lags_s(Path(folder), texts)))
    median_s = statistics.median(lags_s)
    click.echo(
        f"first word of {texts} texts: median {median_s * 1e3:.1f} ms, from {lags_s[0] * 1e3:.1f} "
        f"to {lags_s[-1] * 1e3:.1f} ms; the bound for the median is {MAX_MEDIAN_S * 1e3:.0f} ms"
    )
    sys.exit(0 if median_s <= MAX_MEDIAN_S else 1)


if __name__ == "__main__":
    main()
