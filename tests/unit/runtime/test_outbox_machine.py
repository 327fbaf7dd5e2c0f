"""Outboxes against a simple model: whatever happens, each client gets its list, in order."""

from __future__ import annotations

from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from phoenix_compat.protocol.serializer import V2
from phoenix_compat.runtime.outbox import Outbox, WebSocketWire
from tests.unit.protocol.strategies import steady
from tests.unit.runtime.scene import ListSink, ManualTick

CLIENTS = 3
LANES = 2
MAX_BYTES = 40

clients = st.integers(0, CLIENTS - 1)
lanes = st.integers(0, LANES - 1)


class Model:
    """What one client is to get.

    Attributes:
        due: all that was produced for it, in order.
        is_open: false once it was closed or lost; `due` changes no more.
        is_slow: whether its outbox overflowed; it gets a beginning of `due`, and the close frame.
    """

    def __init__(self) -> None:
        self.due = b""
        self.is_open = True
        self.is_slow = False

    def produce(self, packet: bytes) -> None:
        """Something for this client."""
        if self.is_open and not self.is_slow:
            self.due += packet


class OutboxMachine(RuleBasedStateMachine):
    """Clients join and leave lanes, hear broadcasts and answers, stop reading, go."""

    def __init__(self) -> None:
        super().__init__()
        self.tick = ManualTick()
        self.wire = WebSocketWire(V2, self.tick)
        self.lanes = [self.wire.open_lane() for _ in range(LANES)]
        self.members: list[set[int]] = [set() for _ in range(LANES)]
        self.sinks: dict[int, ListSink] = {}
        self.models: dict[int, Model] = {}
        self.outboxes: dict[int, Outbox] = {}
        self.packets = 0
        for client in range(CLIENTS):
            self._connect(client)

    def _connect(self, client: int) -> None:
        sink = self.sinks[client] = ListSink()
        self.models[client] = Model()
        overflowed = partial(self._overflowed, client)
        self.outboxes[client] = Outbox(self.wire, sink, MAX_BYTES, overflowed)

    def _packet(self) -> bytes:
        self.packets += 1
        return b"<%d>" % self.packets

    def _written(self, client: int) -> bytes:
        return b"".join(self.sinks[client].writes)

    def _overflowed(self, client: int) -> None:
        model, written = self.models[client], self._written(client)
        assert model.is_open
        assert not model.is_slow, "told of a second time"
        assert model.due.startswith(written)
        waiting = len(model.due) - len(written)
        assert self.sinks[client].buffered + waiting > MAX_BYTES, "there was room"
        model.due = written
        model.is_slow = True

    @initialize(members=st.lists(st.sets(clients), min_size=LANES, max_size=LANES))
    def begin(self, members: list[set[int]]) -> None:
        """Some clients are in some lanes."""
        for lane, inside in enumerate(members):
            for client in inside:
                self.move(client=client, lane=lane)

    @rule(client=clients, lane=lanes)
    def move(self, client: int, lane: int) -> None:
        """A client enters a lane or leaves it; an empty lane is thrown away, as PubSub does."""
        if client not in self.members[lane]:
            self.lanes[lane].add(self.outboxes[client])
            self.members[lane].add(client)
            return
        self.lanes[lane].discard(self.outboxes[client])
        self.members[lane].discard(client)
        if not self.members[lane]:
            self.lanes[lane] = self.wire.open_lane()

    @rule(broadcasts=st.lists(st.tuples(lanes, st.none() | clients), min_size=1, max_size=4))
    def publish(self, broadcasts: list[tuple[int, int | None]]) -> None:
        """Broadcasts, each to all of a lane or to all but one."""
        for lane, but in broadcasts:
            packet = self._packet()
            for client in self.members[lane] - {but}:
                self.models[client].produce(packet)
            self.lanes[lane].publish(packet, None if but is None else self.outboxes[but])

    @rule(client=clients)
    def send(self, client: int) -> None:
        """An answer."""
        packet = self._packet()
        self.models[client].produce(packet)
        self.outboxes[client].send(packet)

    @rule(client=clients)
    def expect_more(self, client: int) -> None:
        """A transport that has more frames to hand on in this tick."""
        self.outboxes[client].detach()

    @rule(client=clients, buffered=st.integers(0, MAX_BYTES))
    def stall_or_catch_up(self, client: int, buffered: int) -> None:
        """A client stops reading, or reads everything."""
        sink = self.sinks[client]
        sink.is_stalled = not sink.is_stalled
        if sink.is_stalled:
            sink.buffered = buffered
            self.outboxes[client].pause()
        else:
            sink.buffered = 0
            self.outboxes[client].resume()

    @rule(client=clients, is_lost=st.booleans())
    def end(self, client: int, is_lost: bool) -> None:
        """The server closes a client, or loses it, and what waited for it."""
        model, outbox = self.models[client], self.outboxes[client]
        if not model.is_open:
            return
        model.is_open = False
        self.sinks[client].is_stalled = False
        if is_lost:
            outbox.discard()
            model.due = self._written(client)
        else:
            outbox.close(b"[bye]")
            model.due += b"[bye]"
            assert self._written(client) == model.due

    @rule()
    def end_tick(self) -> None:
        """The tick ends: everybody is written to, once. Who is gone comes back as a new client."""
        before = {client: len(sink.writes) for client, sink in self.sinks.items()}
        self.tick.flush()
        for client, model in self.models.items():
            assert self._written(client) == model.due
            assert len(self.sinks[client].writes) - before[client] <= 1
            if not model.is_open:
                inside = [lane for lane in range(LANES) if client in self.members[lane]]
                for lane in inside:
                    self.move(client=client, lane=lane)
                self._connect(client)

    def teardown(self) -> None:
        """Whatever happened, the last tick ends too."""
        self.end_tick()

    @invariant()
    def everybody_has_a_beginning_of_what_is_due(self) -> None:
        """Nothing is written twice, out of order, or to the wrong client."""
        for client, model in self.models.items():
            assert model.due.startswith(self._written(client))

    @invariant()
    def nobody_holds_more_than_the_limit(self) -> None:
        """No client that does not read makes the server hold more than was allowed."""
        assert all(sink.buffered <= MAX_BYTES for sink in self.sinks.values())

    @invariant()
    def what_waits_has_an_end(self) -> None:
        """Whatever is held back, the end of the tick is asked for."""
        waiting = [
            client
            for client, model in self.models.items()
            if model.is_open and self._written(client) != model.due
        ]
        assert not waiting or self.tick.is_scheduled

    @invariant()
    def lanes_know_their_size(self) -> None:
        """A lane that is empty can be thrown away, so it must know."""
        assert [len(lane) for lane in self.lanes] == [len(members) for members in self.members]


TestOutboxes = OutboxMachine.TestCase
TestOutboxes.settings = settings(steady, max_examples=300, stateful_step_count=40)
