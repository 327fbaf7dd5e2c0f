"""Sends a client's frames over the connection that is open."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import BufferFullError
from phoenix_compat.client.options import ClientLimits
from phoenix_compat.client.transports.connection import Connection, ConnectionLostError
from phoenix_compat.protocol.message import Frame


class Outbox:
    """Sends frames in order. A task exists only while there is something to send.

    Args:
        on_failure: called when the connection cannot be written to.
    """

    __slots__ = (
        *("_connection", "_counters", "_frames", "_limits", "_on_failure", "_task"),
        "_unsent_bytes",
    )

    def __init__(
        self,
        limits: ClientLimits,
        counters: ClientCounters,
        on_failure: Callable[[ConnectionLostError], None],
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._on_failure = on_failure
        self._connection: Connection | None = None
        self._frames: deque[Frame] = deque()
        self._unsent_bytes = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def open(self, connection: Connection) -> None:
        """Send over this connection from now on."""
        self._connection = connection

    def close(self) -> asyncio.Task[None] | None:
        """Drop what was not sent, because the connection has ended; returns a task to wait for."""
        self._connection = None
        self._frames.clear()
        self._unsent_bytes = 0
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def put(self, frame: Frame, *, is_limited: bool = True) -> None:
        """Send a frame soon; without a connection it is dropped.

        Raises:
            BufferFullError: too much waits already, and the frame is limited.
        """
        if self._connection is None:
            return
        limit = self._limits.max_unsent_bytes
        if is_limited and self._frames and self._unsent_bytes + len(frame) > limit:
            self._counters.pushes_refused += 1
            raise BufferFullError("max_unsent_bytes", limit)
        self._frames.append(frame)
        self._unsent_bytes += len(frame)
        if self._task is None:
            task = asyncio.get_running_loop().create_task(self._send(self._connection))
            self._task = None if task.done() else task  # eager tasks may be done already

    async def flush(self) -> None:
        """Wait until everything was sent, or could not be."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _send(self, connection: Connection) -> None:
        try:
            while self._frames:
                count = min(len(self._frames), connection.max_batch)
                batch = [self._frames.popleft() for _ in range(count)]
                await connection.send(batch)
                self._unsent_bytes -= sum(map(len, batch))
        except ConnectionLostError as lost:
            self._on_failure(lost)
        finally:
            if self._connection is connection:
                self._task = None
