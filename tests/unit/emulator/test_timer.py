"""Waiting on the emulator's clock."""

from __future__ import annotations

import asyncio

from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.timer import Timer
from tests.patience import patient


def stopped() -> tuple[EmulatorClock, Timer]:
    clock = EmulatorClock()
    clock.scale(0)
    return clock, Timer(clock)


async def test_a_sleeping_task_wakes_when_the_clock_jumps() -> None:
    """A wait of an hour ends when the clock has moved by an hour, not before."""
    clock, timer = stopped()
    sleeper = asyncio.create_task(timer.sleep(3600))
    await asyncio.sleep(0)
    clock.advance(3599)
    await asyncio.sleep(0)
    assert not sleeper.done()

    clock.advance(2)

    await asyncio.wait_for(sleeper, patient(1))


async def test_wake_all_ends_a_wait_for_change() -> None:
    """`wake_all` ends `wait_for_change` before its time."""
    clock, timer = stopped()
    waiter = asyncio.create_task(timer.wait_for_change(clock.now_s() + 60))
    await asyncio.sleep(0)

    timer.wake_all()

    await asyncio.wait_for(waiter, patient(1))


async def test_close_ends_every_wait() -> None:
    """`close` ends the current waits, and later waits return at once."""
    _, timer = stopped()
    sleeper = asyncio.create_task(timer.sleep(60))
    await asyncio.sleep(0)

    timer.close()

    await asyncio.wait_for(sleeper, patient(1))
    await asyncio.wait_for(timer.sleep(60), patient(1))


async def test_a_wait_ends_by_itself_on_a_running_clock() -> None:
    """On a running clock a wait ends without `wake_all`."""
    clock = EmulatorClock()
    clock.scale(1000)

    await asyncio.wait_for(Timer(clock).sleep(5), patient(1))

    assert not Timer(clock).is_closed
