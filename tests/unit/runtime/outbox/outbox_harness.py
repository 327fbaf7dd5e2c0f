"""A tick, a wire, and as many clients and lanes as a test of outboxes asks for."""

from __future__ import annotations

from phoenix_compat.protocol.serializer import V2
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.outbox import Outbox
from phoenix_compat.runtime.topic_fanout import Lane
from phoenix_compat.runtime.wire import WebSocketWire
from tests.unit.runtime.harness import ListSink, ManualTick


class Scene:
    """A tick, a wire, and as many clients and lanes as a test asks for."""

    def __init__(self) -> None:
        self.tick = ManualTick()
        self.wire = WebSocketWire(V2, self.tick, Limits(), Counters())

    def client(self, *lanes: Lane, max_bytes: int = 1_000) -> tuple[Outbox, ListSink]:
        """A client in these lanes."""
        self.wire.max_outbox_bytes = max_bytes
        sink = ListSink()
        outbox = Outbox(self.wire, sink)
        for lane in lanes:
            lane.add(outbox)
        return outbox, sink

    def lane(self) -> Lane:
        """A new lane."""
        return self.wire.open_lane()
