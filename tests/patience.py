"""How long tests wait: limits are written for a quiet machine, and grow with what this one gives.

    async with asyncio.timeout(patient(10.0)):
        await what_must_come

Such a limit says when a test gives up, never when it goes on: a test that passes waits no longer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from phoenix_compat.conformance.suite.machine import processor_slowness

MAX_FACTOR: Final = 20.0
"""A test that hangs must still end, however busy the machine is."""

_MIN_SAMPLE_NS: Final = 20_000_000
_SCHEDSTAT: Final = Path("/proc/self/schedstat")


class ShareMeter:
    """How many times longer this process takes because others have the processors.

    It reads what the kernel counts (proc(5), schedstat): nanoseconds that the main thread ran, and
    nanoseconds that it was ready to run and had no processor.
    """

    def __init__(self, source: Path = _SCHEDSTAT) -> None:
        self._source = source
        self._last = (0, 0)
        self._recent = 1.0

    def slowdown(self) -> float:
        """The larger of that since the start and that of late; 1.0 where it is not counted."""
        try:
            ran_ns, waited_ns, *_ = map(int, self._source.read_text().split())
        except (OSError, ValueError):
            return 1.0
        last_ran_ns, last_waited_ns = self._last
        if ran_ns - last_ran_ns >= _MIN_SAMPLE_NS:
            self._recent = 1.0 + (waited_ns - last_waited_ns) / (ran_ns - last_ran_ns)
            self._last = (ran_ns, waited_ns)
        return max(1.0 + waited_ns / max(ran_ns, 1), self._recent)


_meter = ShareMeter()


def patient(limit_s: float) -> float:
    """A limit for a quiet machine, in seconds, as long as it must be on this one now."""
    return limit_s * factor()


def factor() -> float:
    """How many times longer things take now than on a quiet machine of usual speed; at least 1."""
    others = max(_meter.slowdown(), _load_per_processor())
    return min(max(processor_slowness(), 1.0) * max(others, 1.0), MAX_FACTOR)


def _load_per_processor() -> float:
    """How many want each processor, over the last minute: the others may start while we sleep."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return 1.0
