"""The lag of the event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from phoenix_compat.server.metrics import loop_lag
from phoenix_compat.server.metrics.loop_lag import LoopLag
from tests.patience import patient


async def test_a_blocked_loop_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that takes its time makes the timer late; after `stop` nothing is measured."""
    monkeypatch.setattr(loop_lag, "INTERVAL_S", 0.01)
    lag = LoopLag()
    lag.start()
    loop = asyncio.get_running_loop()

    def block() -> None:
        until_s = time.perf_counter() + 0.05
        while time.perf_counter() < until_s:
            pass

    async with asyncio.timeout(patient(5.0)):
        while lag.recent_s < 0.02:
            loop.call_soon(block)
            await asyncio.sleep(0)
    lag.stop()
    count = lag.lags.count

    await asyncio.sleep(0.03)
    assert lag.lags.count == count > 0
