"""Waits on the emulator's clock with asyncio."""

from __future__ import annotations

import asyncio
import math

from phoenix_compat.emulator.clock import EmulatorClock


class Timer:
    """Wakes waiting tasks when their time has come, when the clock is moved, and at close."""

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._is_closed = False
        clock.on_change(self.wake_all)

    @property
    def is_closed(self) -> bool:
        """True once the emulator is shutting down; nothing should wait any more."""
        return self._is_closed

    def wake_all(self) -> None:
        """Wake every waiting task so that it checks its condition again."""
        wakeup, self._wakeup = self._wakeup, asyncio.Event()
        wakeup.set()

    def close(self) -> None:
        """End every wait, now and in the future."""
        self._is_closed = True
        self.wake_all()

    async def wait_for_change(self, at_s: float) -> None:
        """Return when the clock reaches `at_s` or at the next `wake_all`, whichever is first."""
        left_s = self._clock.real_seconds_until(at_s)
        if left_s == 0 or self._is_closed:
            return
        wakeup = self._wakeup
        try:
            async with asyncio.timeout(None if math.isinf(left_s) else left_s):
                await wakeup.wait()
        except TimeoutError:
            return

    async def wait_until(self, at_s: float) -> None:
        """Return when the clock has reached `at_s`, or at close."""
        while self._clock.real_seconds_until(at_s) > 0 and not self._is_closed:
            await self.wait_for_change(at_s)

    async def sleep(self, seconds: float) -> None:
        """Return when this much emulated time has passed, or at close."""
        await self.wait_until(self._clock.now_s() + seconds)
