"""Time as the workshop sees it: a clock that tests can replace, and times as text.

Wall time dates rows; monotonic time measures waits, so a clock that is set back ends no task.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the workshop asks of time."""

    def now(self) -> datetime:
        """The wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; for differences."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event, at most `timeout_s` seconds; True when it is set."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow; for differences."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event, at most `timeout_s` seconds; True when it is set."""
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


def wire_time(at: datetime) -> str:
    """A time for clients: "2026-01-05T10:00:00Z". Swift's ISO 8601 parser takes no fractions."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stored_time(at: datetime) -> str:
    """A time for the store, in milliseconds: "2026-01-05T10:00:00.000Z". Sorts as text."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_stored(at: datetime) -> datetime:
    """The time as it comes back from the store: cut to milliseconds."""
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)


def parsed_time(text: str) -> datetime:
    """The time that `stored_time` wrote."""
    return datetime.fromisoformat(text)
