"""What all sockets of an endpoint share."""

from __future__ import annotations

from typing import Protocol

from phoenix_compat.pubsub import PubSub
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.spawner import Spawner


class Engine(Protocol):
    """An endpoint, as its sockets and channels see it."""

    @property
    def pubsub(self) -> PubSub:
        """The topics."""

    @property
    def limits(self) -> Limits:
        """The bounds."""

    @property
    def counters(self) -> Counters:
        """How often they were met."""

    @property
    def spawner(self) -> Spawner:
        """What starts coroutines."""
