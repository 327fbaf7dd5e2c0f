"""A clock that tests can replace, and times as text.

Rows are dated with wall time. Waits are measured with monotonic time, so they stay right when the
machine's clock is set.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, Protocol


class Clock(Protocol):
    """The time functions that the task engine uses."""

    def now(self) -> datetime:
        """The wall time: aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event, at most `timeout_s` seconds; whether it is set."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The wall time: aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event, at most `timeout_s` seconds; whether it is set."""
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


def elapsed_s() -> float:
    """Seconds since an arbitrary start, with the time in which the machine was suspended."""
    return time.clock_gettime(_ELAPSED) if _ELAPSED is not None else time.monotonic()


_ELAPSED: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def wire_time(at: datetime) -> str:
    """Format a time for clients: "2026-01-05T10:00:00Z".

    There are no fractions of a second, because Swift's ISO 8601 parser does not accept them.
    """
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def stored_time(at: datetime) -> str:
    """Format a time for the store: "2026-01-05T10:00:00.000Z". Such texts sort by time."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def truncate_to_ms(at: datetime) -> datetime:
    """Cut a time to milliseconds, which is what the store keeps of it."""
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)


def parse_time(text: str) -> datetime:
    """Parse a time that `stored_time` wrote."""
    return datetime.fromisoformat(text)
