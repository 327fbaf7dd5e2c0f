"""What the socket of an ended channel still can do.

A running channel and its socket refer to each other. When the channel has ended, the socket gets an
`EndedChannel` in its place, so that both are freed as soon as nobody uses them. Otherwise they wait
for the garbage collector, which rarely comes by for old objects: after a storm of connections the
memory stays in use, and the next storm takes more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phoenix_compat.protocol.message import Payload, Ref
from phoenix_compat.result import Result
from phoenix_compat.runtime.channel_owner import Owner


class EndedChannel:
    """Replaces a socket's channel after its end. See socket.RunningChannel.

    Broadcasts and late replies still work; everything else does nothing.
    """

    __slots__ = ("_owner", "_topic")

    def __init__(self, owner: Owner, topic: Any) -> None:
        self._owner = owner
        self._topic = topic

    def push(self, event: str, payload: Payload) -> None:
        """Do nothing: an ended channel sends no pushes."""

    def broadcast(self, event: str, payload: Payload, *, is_from: bool) -> None:
        """Send an event to all subscribers; the channel itself is not one any more."""
        del is_from
        self._owner.engine.pubsub.broadcast(self._topic, event, payload)

    def reply(self, join_ref: Ref, ref: Ref, result: Result) -> None:
        """Reply to one message that came before the end."""
        self._owner.send_reply(join_ref, ref, self._topic, result.status, result.payload)

    def send_self(self, message: Any) -> None:
        """Do nothing: there is no mailbox."""

    def subscribe(self, topic: str) -> None:
        """Do nothing: there is no mailbox."""

    def unsubscribe(self, topic: str) -> None:
        """Do nothing: all subscriptions have ended."""

    def monitor(self, on_end: Callable[[], None]) -> None:
        """Call the function at once."""
        on_end()

    def close_at(self, time_s: float) -> None:
        """Close the client's connection at this time."""
        self._owner.close_at(time_s)
