"""One client's way out: order, one write per tick, and what happens to who does not read."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.protocol.message import Broadcast, Frame
from phoenix_compat.protocol.serializer import V1, V2
from phoenix_compat.runtime.outbox import Lane, Outbox, Tick, WebSocketWire
from tests.unit.runtime.scene import ListSink, ManualTick


class Scene:
    """A tick, a wire, and as many clients and lanes as a test asks for."""

    def __init__(self) -> None:
        self.tick = ManualTick()
        self.wire = WebSocketWire(V2, self.tick)
        self.overflows: list[ListSink] = []

    def client(self, *lanes: Lane, max_bytes: int = 1_000) -> tuple[Outbox, ListSink]:
        """A client in these lanes."""
        sink = ListSink()
        outbox = Outbox(self.wire, sink, max_bytes, lambda: self.overflows.append(sink))
        for lane in lanes:
            lane.add(outbox)
        return outbox, sink

    def lane(self) -> Lane:
        """A new lane."""
        return self.wire.open_lane()


@pytest.fixture
def scene() -> Scene:
    """An empty scene."""
    return Scene()


def test_what_is_sent_is_written_at_once(scene: Scene) -> None:
    """A client that hears nothing else in a tick does not wait for its end."""
    outbox, sink = scene.client()

    outbox.send(b"a")
    outbox.send(b"b")

    assert sink.writes == [b"a", b"b"]
    assert not scene.tick.is_scheduled


def test_broadcasts_of_a_tick_are_one_write(scene: Scene) -> None:
    """Clients that hear nothing but broadcasts get one write, of bytes that they share."""
    lane = scene.lane()
    sinks = [scene.client(lane)[1] for _ in range(3)]

    for packet in (b"a", b"b", b"c"):
        lane.publish(packet, None)
    scene.tick.flush()

    assert [sink.writes for sink in sinks] == [[b"abc"]] * 3
    assert len({id(sink.writes[0]) for sink in sinks}) == 1


def test_nothing_is_written_before_the_tick_ends(scene: Scene) -> None:
    """A broadcast waits for the end of the tick, and is written once."""
    lane = scene.lane()
    _, sink = scene.client(lane)

    lane.publish(b"a", None)

    assert sink.writes == []
    assert scene.tick.is_scheduled
    scene.tick.flush()
    scene.tick.flush()
    assert sink.writes == [b"a"]


def test_a_client_in_several_lanes_gets_one_write(scene: Scene) -> None:
    """Broadcasts of different topics reach a client in the order in which they were made."""
    first, second = scene.lane(), scene.lane()
    _, sink = scene.client(first, second)

    first.publish(b"a", None)
    second.publish(b"b", None)
    first.publish(b"c", None)
    scene.tick.flush()

    assert sink.writes == [b"abc"]


def test_a_reply_stays_between_broadcasts(scene: Scene) -> None:
    """219: what a client gets alone keeps its place among broadcasts; others get only those."""
    lane = scene.lane()
    outbox, sink = scene.client(lane)
    _, other = scene.client(lane)

    lane.publish(b"a", None)
    outbox.send(b"1")
    lane.publish(b"b", None)
    outbox.send(b"2")
    scene.tick.flush()

    assert sink.writes == [b"a1b2"]
    assert other.writes == [b"ab"]


def test_a_broadcast_from_a_client_skips_it(scene: Scene) -> None:
    """`but` hears everything except that frame; clients elsewhere make no difference."""
    lane, elsewhere = scene.lane(), scene.lane()
    outbox, sink = scene.client(lane)
    stranger, _ = scene.client(elsewhere)
    _, other = scene.client(lane)

    lane.publish(b"a", outbox)
    lane.publish(b"b", None)
    lane.publish(b"c", stranger)
    scene.tick.flush()

    assert (sink.writes, other.writes) == ([b"bc"], [b"abc"])


def test_who_joins_late_misses_what_was_before(scene: Scene) -> None:
    """A frame that was published before a client joined is not for it."""
    lane = scene.lane()
    scene.client(lane)
    lane.publish(b"a", None)

    _, sink = scene.client(lane)
    lane.publish(b"b", None)
    scene.tick.flush()

    assert sink.writes == [b"b"]


def test_who_leaves_still_hears_what_was_before(scene: Scene) -> None:
    """A frame that was published before a client left still reaches it."""
    lane = scene.lane()
    outbox, sink = scene.client(lane)

    lane.publish(b"a", None)
    lane.discard(outbox)
    lane.publish(b"b", None)
    scene.tick.flush()

    assert sink.writes == [b"a"]
    assert len(lane) == 0


def test_discarding_a_stranger_changes_nothing(scene: Scene) -> None:
    """A client that is not in a lane can be discarded from it, in vain."""
    lane, elsewhere = scene.lane(), scene.lane()
    scene.client(lane)
    outbox, sink = scene.client(elsewhere)

    lane.discard(outbox)
    elsewhere.publish(b"a", None)
    scene.tick.flush()

    assert sink.writes == [b"a"]
    assert (len(lane), len(elsewhere)) == (1, 1)


def test_a_transport_may_ask_for_one_write(scene: Scene) -> None:
    """After `detach` all answers of a tick are one write."""
    outbox, sink = scene.client(scene.lane())

    outbox.detach()
    outbox.send(b"a")
    outbox.send(b"b")
    scene.tick.flush()

    assert sink.writes == [b"ab"]


def test_the_close_frame_is_the_last(scene: Scene) -> None:
    """Closing writes what waits and the close frame at once, and nothing after it."""
    lane = scene.lane()
    outbox, sink = scene.client(lane)
    lane.publish(b"a", None)

    outbox.close(b"bye")
    outbox.send(b"x")
    outbox.resume()
    lane.publish(b"y", None)
    scene.tick.flush()

    assert sink.writes == [b"abye"]


def test_a_lost_client_gets_nothing(scene: Scene) -> None:
    """After `discard` nothing is written, not even what waited."""
    lane = scene.lane()
    outbox, sink = scene.client(lane)
    lane.publish(b"a", None)

    outbox.discard()
    outbox.send(b"b")
    outbox.pause()
    scene.tick.flush()

    assert sink.writes == []


# Clients that do not read.


def test_a_slow_client_may_catch_up(scene: Scene) -> None:
    """Up to the limit a client that does not read is written to."""
    outbox, sink = scene.client(max_bytes=10)
    sink.is_stalled = True

    outbox.pause()
    outbox.send(b"12345")
    outbox.send(b"67890")
    outbox.resume()
    outbox.send(b"any number of bytes more")

    assert sink.writes == [b"12345", b"67890", b"any number of bytes more"]
    assert scene.overflows == []


def test_a_client_that_is_too_slow_is_told_of_once(scene: Scene) -> None:
    """A write past the limit is not made; its client is given up, and hears its close alone."""
    outbox, sink = scene.client(max_bytes=10)
    sink.is_stalled = True
    outbox.pause()

    for packet in (b"12345", b"678901", b"x"):
        outbox.send(packet)
    outbox.resume()
    outbox.send(b"y")
    outbox.close(b"bye")

    assert sink.writes == [b"12345", b"bye"]
    assert scene.overflows == [sink]


def test_a_broadcast_finds_a_client_too_slow(scene: Scene) -> None:
    """One slow client of a lane is given up; the others hear the broadcast."""
    lane = scene.lane()
    outbox, slow = scene.client(lane, max_bytes=10)
    _, sink = scene.client(lane, max_bytes=10)
    slow.buffered = 10
    outbox.pause()

    lane.publish(b"a", None)
    scene.tick.flush()

    assert (slow.writes, sink.writes) == ([], [b"a"])
    assert scene.overflows == [slow]


# The wire and the loop.


def test_frames_are_packed(scene: Scene) -> None:
    """Text goes out with opcode 1, bytes with opcode 2."""
    outbox, sink = scene.client()

    outbox.send_frame(Frame(b"[]"))
    outbox.send_frame(Frame(b"\x00", is_binary=True))

    assert sink.writes == [b"\x81\x02[]", b"\x82\x01\x00"]


def test_a_lane_encodes_for_its_wire(scene: Scene) -> None:
    """A broadcast is one frame in the serializer's form."""
    broadcast = Broadcast("t", "e", {})
    v1 = WebSocketWire(V1, scene.tick).open_lane()

    assert scene.lane().encode(broadcast)[2:] == V2.fastlane(broadcast).data
    assert v1.encode(broadcast)[2:] == V1.fastlane(broadcast).data
    assert scene.wire.serializer is V2


async def test_the_tick_ends_by_itself() -> None:
    """What a tick holds back is written when the loop's turn ends."""
    wire = WebSocketWire(V2, Tick())
    lane, sink = wire.open_lane(), ListSink()
    lane.add(Outbox(wire, sink, 100, lambda: None))

    lane.publish(b"a", None)
    lane.publish(b"b", None)
    before = list(sink.writes)
    await asyncio.sleep(0)

    assert (before, sink.writes) == ([], [b"ab"])


def test_sharing_begins_again_with_the_next_tick(scene: Scene) -> None:
    """A client that heard something of its own shares the lane's bytes again in the next tick."""
    lane = scene.lane()
    outbox, sink = scene.client(lane)
    _, other = scene.client(lane)
    lane.publish(b"a", None)
    outbox.send(b"1")
    scene.tick.flush()

    lane.publish(b"b", None)
    lane.publish(b"c", None)
    scene.tick.flush()

    assert sink.writes == [b"a1", b"bc"]
    assert sink.writes[-1] is other.writes[-1]


def test_sharing_begins_again_in_another_lane(scene: Scene) -> None:
    """A client that left its only lane shares the bytes of the next one it joins."""
    first, second = scene.lane(), scene.lane()
    outbox, sink = scene.client(first)
    _, other = scene.client(second)

    first.discard(outbox)
    second.add(outbox)
    second.publish(b"a", None)
    second.publish(b"b", None)
    scene.tick.flush()

    assert sink.writes == [b"ab"]
    assert sink.writes[0] is other.writes[0]
