"""What a socket server needs: of its endpoint, whose sockets all share it, and of its transport."""

from __future__ import annotations

from typing import Protocol

from phoenix_compat.pubsub import PubSub
from phoenix_compat.result import Reason
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.reporting.invalid_payloads import InvalidPayloads
from phoenix_compat.runtime.spawner import Spawner


class Engine(Protocol):
    """The part of an endpoint that its sockets and channels use."""

    @property
    def pubsub(self) -> PubSub:
        """The topics and their subscribers."""

    @property
    def limits(self) -> Limits:
        """The limits for each client."""

    @property
    def counters(self) -> Counters:
        """How often the limits were reached."""

    @property
    def spawner(self) -> Spawner:
        """Starts the coroutines of callbacks."""

    @property
    def invalid_payloads(self) -> InvalidPayloads:
        """Answers messages whose payload does not have the declared type."""


class Connection(Protocol):
    """What a socket server needs of its transport."""

    def close(self, code: int, reason: Reason) -> None:
        """Close the connection with this code, and the socket server for this reason."""

    def unblocked(self) -> None:
        """Continue with the frames that a pending join held back."""
