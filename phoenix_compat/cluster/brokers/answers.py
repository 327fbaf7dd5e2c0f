"""The calls of other nodes that this one answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from phoenix_compat.background import log_failure
from phoenix_compat.cluster.brokers.messages import Call
from phoenix_compat.cluster.handlers import Handlers

SendReply: TypeAlias = Callable[[int, int, bytes, str | None], bool]
"""Sends a node the number of its call, the reply, and why it failed, if it did. Returns whether
that could be sent."""


class Answers:
    """Answers calls, each in a task.

    Args:
        max_calls: the limit of concurrent calls of one node; more are refused.
    """

    def __init__(self, handlers: Handlers, max_calls: int, reply: SendReply) -> None:
        self._handlers = handlers
        self._max_calls = max_calls
        self._reply = reply
        self._tasks: dict[int, set[asyncio.Task[None]]] = {}

    def begin(self, node: int, call: Call) -> None:
        """Answer a call of a node."""
        tasks = self._tasks.setdefault(node, set())
        if len(tasks) >= self._max_calls:
            self._reply(node, call.number, b"", "too many calls")
            return
        task = asyncio.create_task(self._answer(node, call), name=f"bus-call-{call.kind}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(log_failure)

    def cancel(self, node: int) -> None:
        """Stop answering a node that is down."""
        for task in tuple(self._tasks.pop(node, ())):
            task.cancel()

    def cancel_all(self) -> None:
        """Stop answering."""
        for node in tuple(self._tasks):
            self.cancel(node)

    async def _answer(self, node: int, call: Call) -> None:
        body, error = await self._handlers.handle_call(node, call.kind, call.body)
        if not self._reply(node, call.number, body, error):
            reason = "the reply is too long, or the queue is full"
            self._reply(node, call.number, b"", reason)
