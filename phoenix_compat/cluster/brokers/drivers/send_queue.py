"""What a broker has to send: filled without waiting, taken in batches."""

from __future__ import annotations

import asyncio
from typing import Final

from phoenix_compat.cluster.bus import MAX_QUEUE_BYTES

_MESSAGE_BYTES: Final = 64
"""What a message costs besides its data."""


class SendQueue:
    """Messages in the order in which they are sent; closed at first.

    Args:
        max_bytes: the limit of what waits; a message that does not fit is refused.
    """

    def __init__(self, max_bytes: int = MAX_QUEUE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._waiting: list[tuple[str, bytes]] = []
        self._waiting_bytes = 0
        self._is_open = False
        self._filled = asyncio.Event()

    def open(self) -> None:
        """Accept messages from now on, in the running event loop."""
        self._filled = asyncio.Event()
        self._is_open = True

    def close(self) -> int:
        """Refuse messages, and drop those that wait; return how many these were."""
        self._is_open = False
        return len(self._take())

    def put(self, subject: str, data: bytes) -> bool:
        """Add a message; return False if it is refused."""
        if not self._is_open or self._waiting_bytes + len(data) > self._max_bytes:
            return False
        self._waiting.append((subject, data))
        self._waiting_bytes += len(data) + _MESSAGE_BYTES
        self._filled.set()
        return True

    async def take(self) -> list[tuple[str, bytes]]:
        """Wait for messages, and take all that were put in this tick or since the last call."""
        await self._filled.wait()
        return self._take()

    def _take(self) -> list[tuple[str, bytes]]:
        taken, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        self._filled.clear()
        return taken
