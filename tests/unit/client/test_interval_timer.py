"""The timer of all heartbeats with the same interval."""

from __future__ import annotations

import asyncio

from phoenix_compat.client.interval_timer import CALLS_PER_TURN, interval_timer
from tests.patience import patient


async def test_everyone_is_called_once() -> None:
    """In order, after the interval, except those that were cancelled."""
    called: list[int] = []
    done = asyncio.Event()
    timer = interval_timer(0.01)
    begun_s = asyncio.get_running_loop().time()
    beats = [timer.add(lambda n=n: called.append(n)) for n in range(CALLS_PER_TURN * 2)]  # type: ignore[misc]
    timer.add(done.set)

    beats[1].cancel()
    async with asyncio.timeout(patient(5.0)):
        await done.wait()

    assert called == [0, *range(2, CALLS_PER_TURN * 2)]
    assert asyncio.get_running_loop().time() - begun_s >= 0.01
    assert len(timer) == 0


async def test_one_timer_for_one_interval() -> None:
    """Clients share it as long as one of them keeps it."""
    first, second = interval_timer(5.0), interval_timer(5.0)

    assert first is second
    assert interval_timer(6.0) is not first


def test_each_loop_has_its_own() -> None:
    """A loop that has ended calls nobody."""

    async def get() -> object:
        return interval_timer(5.0)

    first = asyncio.run(get())

    assert asyncio.run(get()) is not first
