"""Outboxes against a simple model: each client gets its frames, in order."""

from __future__ import annotations

from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from phoenix_compat.protocol.serializer import V2
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.wire import WebSocketWire
from tests.unit.protocol.strategies import steady
from tests.unit.runtime.harness import ListSink, ManualTick

CLIENTS = 3
LANES = 2
MAX_BYTES = 40

clients = st.integers(0, CLIENTS - 1)
fanouts = st.integers(0, LANES - 1)


class Model:
    """What one client is to get.

    Attributes:
        due: all that was produced for it, in order.
        is_open: false once it was closed or lost; `due` changes no more.
        is_slow: whether its outbox overflowed; it gets what was begun, and the close frame.
    """

    def __init__(self) -> None:
        self.due = b""
        self.is_open = True
        self.is_slow = False

    def produce(self, packet: bytes) -> None:
        """Add a frame for this client."""
        if self.is_open and not self.is_slow:
            self.due += packet


class OutboxMachine(RuleBasedStateMachine):
    """Clients join and leave fanouts, get broadcasts and replies, stop reading, and disconnect."""

    def __init__(self) -> None:
        super().__init__()
        self.tick = ManualTick()
        limits = Limits(max_outbox_bytes=MAX_BYTES)
        self.wire = WebSocketWire(V2, self.tick, limits, Counters())
        self.fanouts = [self.wire.open_fanout() for _ in range(LANES)]
        self.members: list[set[int]] = [set() for _ in range(LANES)]
        self.sinks: dict[int, ListSink] = {}
        self.models: dict[int, Model] = {}
        self.outboxes: dict[int, Outbox] = {}
        self.packets = 0
        for client in range(CLIENTS):
            self._connect(client)

    def _connect(self, client: int) -> None:
        sink = self.sinks[client] = ListSink(partial(self._overflowed, client))
        self.models[client] = Model()
        self.outboxes[client] = Outbox(self.wire, sink)

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
        assert len(model.due) - len(written) > MAX_BYTES, "there was room"
        backlog = self.outboxes[client].start_backlog()
        model.due = model.due[: len(written) + backlog.size_bytes]
        model.is_slow = True

    @initialize(members=st.lists(st.sets(clients), min_size=LANES, max_size=LANES))
    def begin(self, members: list[set[int]]) -> None:
        """Put some clients into some fanouts."""
        for fanout, inside in enumerate(members):
            for client in inside:
                self.move(client=client, fanout=fanout)

    @rule(client=clients, fanout=fanouts)
    def move(self, client: int, fanout: int) -> None:
        """Move a client into a fanout or out of it; an empty fanout is dropped, as in PubSub."""
        if client not in self.members[fanout]:
            self.fanouts[fanout].add(self.outboxes[client])
            self.members[fanout].add(client)
            return
        self.fanouts[fanout].discard(self.outboxes[client])
        self.members[fanout].discard(client)
        if not self.members[fanout]:
            self.fanouts[fanout] = self.wire.open_fanout()

    @rule(broadcasts=st.lists(st.tuples(fanouts, st.none() | clients), min_size=1, max_size=4))
    def publish(self, broadcasts: list[tuple[int, int | None]]) -> None:
        """Publish broadcasts, each to a whole fanout or to all clients except one."""
        for fanout, but in broadcasts:
            packet = self._packet()
            for client in self.members[fanout] - {but}:
                self.models[client].produce(packet)
            self.fanouts[fanout].publish(packet, None if but is None else self.outboxes[but])

    @rule(client=clients)
    def send(self, client: int) -> None:
        """Send a reply."""
        packet = self._packet()
        self.models[client].produce(packet)
        self.outboxes[client].send(packet)

    @rule(client=clients)
    def expect_more(self, client: int) -> None:
        """Tell the outbox that the transport has more frames in this tick."""
        self.outboxes[client].expect_more()

    @rule(client=clients, free_bytes=st.none() | st.integers(1, MAX_BYTES))
    def stall_or_catch_up(self, client: int, free_bytes: int | None) -> None:
        """Let a client stop reading after some bytes, read some, or read everything."""
        sink = self.sinks[client]
        sink.free_bytes = free_bytes
        if sink.is_notify_requested:
            sink.is_notify_requested = False
            self.outboxes[client].resume()

    @rule(client=clients, is_lost=st.booleans())
    def end(self, client: int, is_lost: bool) -> None:
        """Close or lose a client with its unsent frames."""
        model, outbox = self.models[client], self.outboxes[client]
        if not model.is_open:
            return
        model.is_open = False
        if is_lost:
            outbox.discard()
            model.due = self._written(client)
        else:
            outbox.close(b"[bye]")
            model.due += b"[bye]"
            assert self._written(client) == model.due

    @rule()
    def hold(self) -> None:
        """Hold the tick, as a transport does for a batch of messages."""
        self.tick.hold()

    @rule()
    def end_tick(self) -> None:
        """End the tick: every client is written to once. Ended clients are replaced by new ones."""
        before = {client: len(sink.writes) for client, sink in self.sinks.items()}
        most = 2 if self.tick.is_held else 1  # an answer that waited alone, and the fanout's bytes
        self.tick.release()
        for client, model in self.models.items():
            if not self.outboxes[client].is_slow:
                assert self._written(client) == model.due
            assert len(self.sinks[client].writes) - before[client] <= most
            if not model.is_open:
                inside = [fanout for fanout in range(LANES) if client in self.members[fanout]]
                for fanout in inside:
                    self.move(client=client, fanout=fanout)
                self._connect(client)

    def teardown(self) -> None:
        """In the end all remaining clients read everything, and the last tick ends."""
        for client in self.sinks:
            self.stall_or_catch_up(client=client, free_bytes=None)
        self.end_tick()
        for client, model in self.models.items():
            assert model.is_slow or self._written(client) == model.due

    @invariant()
    def everybody_has_a_beginning_of_what_is_due(self) -> None:
        """Nothing is written twice, out of order, or to the wrong client."""
        for client, model in self.models.items():
            assert model.due.startswith(self._written(client))

    @invariant()
    def nobody_holds_more_than_the_limit(self) -> None:
        """No slow client makes the server hold more than the limit."""
        for outbox in self.outboxes.values():
            if outbox.is_slow:
                backlog = outbox.start_backlog()
                assert backlog.size_bytes <= MAX_BYTES or not backlog._frames

    @invariant()
    def what_waits_has_an_end(self) -> None:
        """If anything is buffered, a flush is scheduled."""
        waiting = [
            client
            for client, model in self.models.items()
            if model.is_open and self._written(client) != model.due
        ]
        assert all(
            self.tick.is_scheduled
            or self.tick.is_held
            or self.sinks[client].is_notify_requested
            or self.models[client].is_slow
            for client in waiting
        )

    @invariant()
    def fanouts_know_their_size(self) -> None:
        """A fanout knows its size, so that an empty one can be dropped."""
        assert [len(fanout) for fanout in self.fanouts] == [
            len(members) for members in self.members
        ]


TestOutboxes = OutboxMachine.TestCase
TestOutboxes.settings = settings(steady, max_examples=300, stateful_step_count=40)
