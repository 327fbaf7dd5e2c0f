"""Sends the messages of one connection to the ASGI server.

An ASGI server's `send` waits while the client does not take what it was sent. So one task for each
connection calls it. What the server has not taken is *in flight*, up to a bound; what is beyond it
stays in the outbox, which closes slow clients and replaces broadcasts that may replace each other.
While messages are in flight, the task goes on to the next one without a turn of the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from phoenix_compat.transports.asgi.types import Send

MAX_IN_FLIGHT_BYTES: Final = 64 * 1024
"""What is in flight may exceed it by what the outbox writes at once."""


class Sender:
    """Sends what an outbox writes, in order.

    Args:
        send: the server's `send`.
        split: splits what the outbox writes into messages.
        when_empty: called when nothing is in flight; may call `write` again.

    Attributes:
        sent: how many messages the server has taken.
    """

    __slots__ = (
        "_close_code",
        "_in_flight_bytes",
        "_queue",
        "_send",
        "_split",
        "_waiter",
        "_when_empty",
        "sent",
    )

    def __init__(
        self,
        send: Send,
        split: Callable[[bytes], Sequence[str | bytes]],
        when_empty: Callable[[], None],
    ) -> None:
        self._send = send
        self._split = split
        self._when_empty = when_empty
        self._queue: deque[bytes] = deque()
        self._in_flight_bytes = 0
        self._close_code: int | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.sent = 0

    @property
    def is_sending(self) -> bool:
        """Whether messages are in flight."""
        return self._in_flight_bytes > 0

    def write(self, data: bytes) -> int:
        """Take packed messages, or none of them; see runtime.sending.outbox.Sink."""
        size = len(data)
        if self._in_flight_bytes >= MAX_IN_FLIGHT_BYTES:
            return 0
        self._queue.append(data)
        self._in_flight_bytes += size
        if self._waiter is not None:
            self._wake()
        return size

    def close(self, data: bytes, code: int) -> None:
        """Send these packed messages, whatever the bound, and then close with this code."""
        self._close_code = code
        if data:
            self._queue.append(data)
            self._in_flight_bytes += len(data)
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # done: it was cancelled
            waiter.set_result(None)

    async def run(self) -> None:
        """Send until the close was sent.

        Raises:
            Exception: whatever `send` raised; usually an OSError, if the client has disconnected.
        """
        queue, send, split = self._queue, self._send, self._split
        loop = asyncio.get_running_loop()
        while True:
            while queue:
                data = queue.popleft()
                for message in split(data):
                    if type(message) is str:
                        await send({"type": "websocket.send", "text": message})
                    else:
                        await send({"type": "websocket.send", "bytes": message})
                    self.sent += 1
                self._in_flight_bytes -= len(data)
            if self._close_code is not None:
                await send({"type": "websocket.close", "code": self._close_code})
                return
            self._when_empty()
            if queue:
                await asyncio.sleep(0)  # a long backlog must not keep the others waiting
            else:
                self._waiter = loop.create_future()
                await self._waiter
