"""A tick, a wire, and the clients and fanouts for tests of outboxes."""

from __future__ import annotations

from phoenix_compat.protocol.serializer import V2
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.topic_fanout import TopicFanout
from phoenix_compat.runtime.sending.wire import WebSocketWire
from tests.unit.runtime.harness import ListSink, ManualTick


class OutboxHarness:
    """A tick, a wire, and methods to create clients and fanouts."""

    def __init__(self) -> None:
        self.tick = ManualTick()
        self.wire = WebSocketWire(V2, self.tick, Limits(), Counters())

    def client(self, *fanouts: TopicFanout, max_bytes: int = 1_000) -> tuple[Outbox, ListSink]:
        """Create a client in these fanouts."""
        self.wire.max_outbox_bytes = max_bytes
        sink = ListSink()
        outbox = Outbox(self.wire, sink)
        for fanout in fanouts:
            fanout.add(outbox)
        return outbox, sink

    def fanout(self) -> TopicFanout:
        """Create a fanout."""
        return self.wire.open_fanout()
