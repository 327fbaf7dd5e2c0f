"""A channel's pushes: those that wait for the join, and those that wait for a reply."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypeAlias

from phoenix_compat.client.errors import BufferFullError, ClientError, PushLostError
from phoenix_compat.client.link import Link
from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.message import Payload


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it came."""

    status: str
    response: Any


Outcome: TypeAlias = Reply | ClientError | EncodeError
"""Errors are values here: a future with an exception would be logged if nobody awaits it."""


@dataclass(slots=True, eq=False)
class Push:
    """One push.

    Attributes:
        deadline_s: when it is outdated, in the loop's time.
        outcome: for whoever awaits the reply; None if nobody does.
        ref: set when it is sent and a reply is awaited.
    """

    event: str
    payload: Payload
    deadline_s: float
    outcome: asyncio.Future[Outcome] | None = None
    ref: str | None = None

    def finish(self, outcome: Outcome) -> None:
        """Tell whoever awaits the reply."""
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(outcome)


class Pushes:
    """The pushes of one channel, both kinds with a limit.

    Source: phoenix.js 1.8, push.js; channel.js, pushBuffer.
    """

    __slots__ = ("_buffered", "_link", "_pending", "_topic")

    def __init__(self, topic: str, link: Link) -> None:
        self._topic = topic
        self._link = link
        self._buffered: dict[Push, None] = {}
        self._pending: dict[str, Push] = {}

    def buffer(self, push: Push) -> None:
        """Keep a push until the join is answered; outdated ones make room.

        Raises:
            BufferFullError: there are too many.
        """
        limit = self._link.options.limits.max_buffered_pushes
        if len(self._buffered) >= limit:
            self._drop_outdated()
        if len(self._buffered) >= limit:
            self._link.counters.pushes_refused += 1
            raise BufferFullError("max_buffered_pushes", limit)
        self._buffered[push] = None

    def send(self, push: Push, join_ref: str | None, *, is_limited: bool = True) -> None:
        """Send a push now. Raises EncodeError, and BufferFullError if it is limited."""
        ref = self._link.next_ref()
        if push.outcome is not None and is_limited:
            limit = self._link.options.limits.max_pending_pushes
            if len(self._pending) >= limit:
                self._link.counters.pushes_refused += 1
                raise BufferFullError("max_pending_pushes", limit)
        self._link.send(join_ref, ref, self._topic, push.event, push.payload, is_limited=is_limited)
        if push.outcome is not None:
            push.ref = ref
            self._pending[ref] = push

    def flush(self, join_ref: str | None) -> None:
        """Send what waits for the join, except what is outdated."""
        self._drop_outdated()
        buffered, self._buffered = self._buffered, {}
        for push in buffered:
            try:
                self.send(push, join_ref)
            except (BufferFullError, EncodeError) as error:
                push.finish(error)

    def reply(self, ref: object, reply: Reply) -> bool:
        """Hand a reply to its push; False if none waits for it."""
        push = self._pending.pop(ref, None) if isinstance(ref, str) else None
        if push is None:
            return False
        push.finish(reply)
        return True

    def forget(self, push: Push) -> None:
        """Nobody awaits this push any more; if it was not sent, it will not be."""
        self._buffered.pop(push, None)
        if push.ref is not None:
            self._pending.pop(push.ref, None)

    def lose_pending(self) -> None:
        """The replies to what was sent cannot come any more."""
        pending, self._pending = self._pending, {}
        for push in pending.values():
            self._link.counters.pushes_lost += 1
            push.finish(PushLostError(self._topic, push.event))

    def fail_all(self, error: ClientError) -> None:
        """The channel is closed."""
        pushes = [*self._buffered, *self._pending.values()]
        self._buffered, self._pending = {}, {}
        for push in pushes:
            push.finish(error)

    def _drop_outdated(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for push in [one for one in self._buffered if one.deadline_s <= now_s]:
            del self._buffered[push]
            self._link.counters.pushes_outdated += 1
