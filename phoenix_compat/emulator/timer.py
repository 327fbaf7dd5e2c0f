"""Waiting on the emulator's clock: the one place where its pace meets asyncio's."""

from __future__ import annotations

import asyncio
import math

from phoenix_compat.emulator.clock import EmulatorClock


class Timer:
    """Wakes waiters when their time has come, when the clock was moved, or when all ends."""

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()
        self._is_closed = False
        clock.on_change(self.ring)

    @property
    def is_closed(self) -> bool:
        """True once the emulator is shutting down; nothing should wait any more."""
        return self._is_closed

    def ring(self) -> None:
        """Wake every waiter to look again: something changed that it may wait for."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    def close(self) -> None:
        """End every wait, now and later."""
        self._is_closed = True
        self.ring()

    async def wait_for_change(self, at_s: float) -> None:
        """Return when the clock reaches `at_s` or at the next ring, whichever is first."""
        left_s = self._clock.real_seconds_until(at_s)
        if left_s == 0 or self._is_closed:
            return
        rung = self._rung
        try:
            async with asyncio.timeout(None if math.isinf(left_s) else left_s):
                await rung.wait()
        except TimeoutError:
            return

    async def wait_until(self, at_s: float) -> None:
        """Return when the clock has reached `at_s`, or at close."""
        while self._clock.real_seconds_until(at_s) > 0 and not self._is_closed:
            await self.wait_for_change(at_s)

    async def sleep(self, seconds: float) -> None:
        """Return when this much emulated time has passed, or at close."""
        await self.wait_until(self._clock.now_s() + seconds)
