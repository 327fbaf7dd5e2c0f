"""What a channel has received: callbacks for some events, a bounded queue for all others."""

from __future__ import annotations

import asyncio
from collections import deque

from phoenix_compat.client.callbacks import Callback, Callbacks, Remove, log
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import MisuseError
from phoenix_compat.client.options import ClientLimits
from phoenix_compat.protocol.message import Message


class Inbox:
    """Messages for callbacks and for `async for`.

    If the queue is full, the oldest message is dropped and counted: an app that reads too slowly
    neither stops the channel's replies nor fills the memory.
    """

    __slots__ = (
        *("_callbacks", "_counters", "_has_warned", "_is_ended", "_is_read", "_limits"),
        *("_messages", "_queued_bytes", "_waiter"),
    )

    def __init__(self, limits: ClientLimits, counters: ClientCounters) -> None:
        self._limits = limits
        self._counters = counters
        self._callbacks: dict[str, Callbacks] = {}
        self._messages: deque[tuple[Message, int]] = deque()
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_ended = False
        self._is_read = False
        self._has_warned = False

    def on(self, event: str, callback: Callback) -> Remove:
        """Call back for an event, with its payload."""
        callbacks = self._callbacks.get(event)
        if callbacks is None:
            callbacks = self._callbacks[event] = Callbacks(self._counters)
        return callbacks.add(callback)

    def put(self, message: Message, size_bytes: int) -> None:
        """Hand a message to its callbacks; without any it is queued."""
        callbacks = self._callbacks.get(message.event)
        if callbacks:
            callbacks.call(message.payload)
            return
        self._messages.append((message, size_bytes))
        self._queued_bytes += size_bytes
        while (
            len(self._messages) > self._limits.max_queued_messages
            or self._queued_bytes > self._limits.max_queued_bytes
        ):
            _dropped, dropped_bytes = self._messages.popleft()
            self._queued_bytes -= dropped_bytes
            self._counters.messages_dropped += 1
            self._warn()
        self._wake()

    def end(self) -> None:
        """Let `async for` end after the messages that are queued."""
        self._is_ended = True
        self._wake()

    async def get(self) -> Message | None:
        """The next message; None after the last one.

        Raises:
            MisuseError: another task is waiting already.
        """
        self._is_read = True
        while not self._messages:
            if self._is_ended:
                return None
            if self._waiter is not None:
                raise MisuseError("one task at a time can iterate over a channel")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, size_bytes = self._messages.popleft()
        self._queued_bytes -= size_bytes
        return message

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _warn(self) -> None:
        """Log once that messages are lost, if somebody reads them at all."""
        if self._is_read and not self._has_warned:
            self._has_warned = True
            log.warning("a channel's queue is full: the oldest messages are dropped and counted")
