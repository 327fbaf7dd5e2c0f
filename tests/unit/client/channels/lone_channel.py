"""A joined channel of no client, for tests of what it does with messages."""

from __future__ import annotations

from typing import Any

from phoenix_compat.client import ClientChannel, ClientCounters, ClientLimits, Message
from phoenix_compat.client.channels.membership import ChannelState
from phoenix_compat.client.link import Link
from phoenix_compat.client.options import ChannelOptions
from phoenix_compat.client.serializer import SERIALIZERS
from phoenix_compat.client.transports.outbox import Outbox


class LoneChannel:
    """A channel that believes to be joined; what it sends is dropped."""

    def __init__(self, limits: ClientLimits | None = None) -> None:
        limits = limits or ClientLimits()
        self.counters = ClientCounters()
        outbox = Outbox(limits, self.counters, lambda _lost: None)
        options = ChannelOptions(10.0, (1.0,), 0.0, limits)
        self.link = Link(SERIALIZERS["2.0.0"], outbox, options, self.counters)
        self.channel = ClientChannel("room:a", {}, self.link)
        self.channel._membership.state = ChannelState.JOINED
        self.rejoin()

    def rejoin(self) -> None:
        """Join again: the join_ref changes."""
        self.channel._membership.join_ref = self.link.next_ref()

    def receive(self, event: str, payload: Any, join_ref: str | None = None) -> None:
        """Receive a message, a broadcast unless it has a join_ref."""
        self.channel.receive(Message(join_ref, None, "room:a", event, payload), 10)
