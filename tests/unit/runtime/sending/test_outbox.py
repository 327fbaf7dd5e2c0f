"""The outbox: order, one write per tick, and the end of a tick."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.errors import WrongThreadError
from phoenix_compat.protocol.message import BinaryFrame, Broadcast
from phoenix_compat.protocol.serializer import V1, V2
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.runtime.sending.wire import WebSocketWire
from tests.unit.runtime.harness import ListSink
from tests.unit.runtime.sending.outbox_harness import OutboxHarness


@pytest.fixture
def harness() -> OutboxHarness:
    """A harness without clients."""
    return OutboxHarness()


def test_what_is_sent_is_written_at_once(harness: OutboxHarness) -> None:
    """A client with nothing else in this tick gets a frame immediately."""
    outbox, sink = harness.client()

    outbox.send(b"a")
    outbox.send(b"b")

    assert sink.writes == [b"a", b"b"]
    assert not harness.tick.is_scheduled


def test_broadcasts_of_a_tick_are_one_write(harness: OutboxHarness) -> None:
    """Clients that get only broadcasts get one write of shared bytes."""
    fanout = harness.fanout()
    sinks = [harness.client(fanout)[1] for _ in range(3)]

    for packet in (b"a", b"b", b"c"):
        fanout.publish(packet, None)
    harness.tick.flush()

    assert [sink.writes for sink in sinks] == [[b"abc"]] * 3
    assert len({id(sink.writes[0]) for sink in sinks}) == 1


def test_nothing_is_written_before_the_tick_ends(harness: OutboxHarness) -> None:
    """A broadcast waits for the end of the tick, and is written once."""
    fanout = harness.fanout()
    _, sink = harness.client(fanout)

    fanout.publish(b"a", None)

    assert sink.writes == []
    assert harness.tick.is_scheduled
    harness.tick.flush()
    harness.tick.flush()
    assert sink.writes == [b"a"]


def test_a_client_in_several_fanouts_gets_one_write(harness: OutboxHarness) -> None:
    """Broadcasts of different topics reach a client in the order in which they were made."""
    first, second = harness.fanout(), harness.fanout()
    _, sink = harness.client(first, second)

    first.publish(b"a", None)
    second.publish(b"b", None)
    first.publish(b"c", None)
    harness.tick.flush()

    assert sink.writes == [b"abc"]


def test_a_reply_stays_between_broadcasts(harness: OutboxHarness) -> None:
    """219: a client's own frame keeps its place among broadcasts; others get only those."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)
    _, other = harness.client(fanout)

    fanout.publish(b"a", None)
    outbox.send(b"1")
    fanout.publish(b"b", None)
    outbox.send(b"2")
    harness.tick.flush()

    assert sink.writes == [b"a1b2"]
    assert other.writes == [b"ab"]


def test_a_broadcast_from_a_client_skips_it(harness: OutboxHarness) -> None:
    """The excluded client gets everything except that frame; other clients are not affected."""
    fanout, elsewhere = harness.fanout(), harness.fanout()
    outbox, sink = harness.client(fanout)
    stranger, _ = harness.client(elsewhere)
    _, other = harness.client(fanout)

    fanout.publish(b"a", outbox)
    fanout.publish(b"b", None)
    fanout.publish(b"c", stranger)
    harness.tick.flush()

    assert (sink.writes, other.writes) == ([b"bc"], [b"abc"])


def test_a_late_client_misses_earlier_frames(harness: OutboxHarness) -> None:
    """A client does not get frames from before its join."""
    fanout = harness.fanout()
    harness.client(fanout)
    fanout.publish(b"a", None)

    _, sink = harness.client(fanout)
    fanout.publish(b"b", None)
    harness.tick.flush()

    assert sink.writes == [b"b"]


def test_a_client_that_left_still_gets_earlier_frames(harness: OutboxHarness) -> None:
    """A client still gets frames from before its leave."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)

    fanout.publish(b"a", None)
    fanout.discard(outbox)
    fanout.publish(b"b", None)
    harness.tick.flush()

    assert sink.writes == [b"a"]
    assert len(fanout) == 0


def test_discarding_an_unknown_client_changes_nothing(harness: OutboxHarness) -> None:
    """Removing a client that is not in the fanout has no effect."""
    fanout, elsewhere = harness.fanout(), harness.fanout()
    harness.client(fanout)
    outbox, sink = harness.client(elsewhere)

    fanout.discard(outbox)
    elsewhere.publish(b"a", None)
    harness.tick.flush()

    assert sink.writes == [b"a"]
    assert (len(fanout), len(elsewhere)) == (1, 1)


def test_a_transport_may_ask_for_one_write(harness: OutboxHarness) -> None:
    """After `expect_more`, all replies of a tick are one write."""
    outbox, sink = harness.client(harness.fanout())

    outbox.expect_more()
    outbox.send(b"a")
    outbox.send(b"b")
    harness.tick.flush()

    assert sink.writes == [b"ab"]


def test_the_close_frame_is_the_last(harness: OutboxHarness) -> None:
    """Closing writes unsent frames and the close frame at once, and nothing later."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)
    fanout.publish(b"a", None)

    outbox.close(b"bye")
    outbox.send(b"x")
    outbox.resume()
    fanout.publish(b"y", None)
    harness.tick.flush()

    assert sink.writes == [b"abye"]


def test_a_lost_client_gets_nothing(harness: OutboxHarness) -> None:
    """After `discard` nothing is written, not even unsent frames."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)
    fanout.publish(b"a", None)

    outbox.discard()
    outbox.send(b"b")
    harness.tick.flush()

    assert sink.writes == []


# The wire and the loop.


def test_frames_are_packed(harness: OutboxHarness) -> None:
    """Text has opcode 1, bytes have opcode 2."""
    outbox, sink = harness.client()

    outbox.send_frame(b"[]")
    outbox.send_frame(BinaryFrame(b"\x00"))

    assert sink.writes == [b"\x81\x02[]", b"\x82\x01\x00"]


def test_a_fanout_encodes_for_its_wire(harness: OutboxHarness) -> None:
    """A broadcast is one frame in the serializer's form."""
    broadcast = Broadcast("t", "e", {})
    v1 = WebSocketWire(V1, harness.tick, Limits(), Counters()).open_fanout()

    assert harness.fanout().encode(broadcast)[2:] == V2.fastlane(broadcast)
    assert v1.encode(broadcast)[2:] == V1.fastlane(broadcast)
    assert harness.wire.serializer is V2


def test_a_held_tick_ends_when_it_is_released(harness: OutboxHarness) -> None:
    """`release` ends a held tick, without the loop."""
    tick = Tick()
    wire = WebSocketWire(V2, tick, Limits(), Counters())
    fanout, sink = wire.open_fanout(), ListSink()
    fanout.add(Outbox(wire, sink))

    tick.hold()
    fanout.publish(b"a", None)
    fanout.publish(b"b", None)
    before = list(sink.writes)
    tick.release()

    assert (before, sink.writes) == ([], [b"ab"])


def test_in_a_held_tick_answers_come_last(harness: OutboxHarness) -> None:
    """The replies of a batch are written after it, in the order of the clients, one write each."""
    order: list[bytes] = []
    clients = [harness.client() for _ in range(3)]
    for _, sink in clients:
        sink.writes = order

    harness.tick.hold()
    for number, (outbox, _) in enumerate(clients):
        outbox.send(b"<%d>" % number)
    clients[1][0].send(b"<more>")
    before = list(order)
    harness.tick.release()
    clients[0][0].send(b"<now>")

    assert before == []
    assert order == [b"<0>", b"<2>", b"<1><more>", b"<now>"]


def test_an_answer_of_a_held_tick_keeps_its_place(harness: OutboxHarness) -> None:
    """It comes before later broadcasts and after earlier ones."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)

    harness.tick.hold()
    outbox.send(b"<1>")
    fanout.publish(b"<a>", None)
    outbox.send(b"<2>")
    fanout.publish(b"<b>", None)
    harness.tick.release()
    harness.tick.hold()
    outbox.send(b"<3>")
    fanout.publish(b"<c>", None)
    harness.tick.release()

    assert sink.writes == [b"<1><a><2><b>", b"<3>", b"<c>"]


def test_the_close_frame_comes_behind_the_answers_of_a_held_tick(harness: OutboxHarness) -> None:
    """The replies of a batch are written before the close frame."""
    outbox, sink = harness.client()

    harness.tick.hold()
    outbox.send(b"<1>")
    outbox.close(b"<bye>")
    harness.tick.release()

    assert sink.writes == [b"<1><bye>"]


def test_a_flood_of_one_tick_is_written_before_its_end(harness: OutboxHarness) -> None:
    """Many pushes of one callback do not pile up; a client that is too slow is closed."""
    good, sink = harness.client()
    outbox, slow = harness.client(max_bytes=5_000)
    slow.free_bytes = 0

    harness.tick.hold()
    for number in range(2_500):
        good.send(b"<%04d>" % number)
        outbox.send(b"<%04d>" % number)
    before = len(sink.writes)
    overflows = slow.overflows
    harness.tick.release()

    assert before == 2_500 // 64
    assert b"".join(sink.writes) == b"".join(b"<%04d>" % number for number in range(2_500))
    assert overflows == 1


def test_broadcasts_of_one_tick_do_not_pile_up(harness: OutboxHarness) -> None:
    """A thousand, or a long one, are written before the end of the tick: each once, in order."""
    fanout = harness.fanout()
    _, sink = harness.client(fanout)
    outbox, other = harness.client(fanout, max_bytes=10_000_000)
    frames = [b"<%04d>" % number for number in range(1_500)]
    frames[1_200] = b"x" * 70_000

    harness.tick.hold()
    outbox.send(b"<mine>")
    for number, frame in enumerate(frames):
        fanout.publish(frame, None)
        if number == 700:
            outbox.send(b"<mine>")
    before = b"".join(sink.writes)
    harness.tick.release()

    assert before == b"".join(frames[:1_201])
    assert b"".join(sink.writes) == b"".join(frames)
    mine = [b"<mine>", *frames[:701], b"<mine>", *frames[701:]]
    assert b"".join(other.writes) == b"".join(mine)


async def test_the_tick_ends_by_itself() -> None:
    """Buffered frames are written at the end of the loop iteration."""
    wire = WebSocketWire(V2, Tick(), Limits(), Counters())
    fanout, sink = wire.open_fanout(), ListSink()
    fanout.add(Outbox(wire, sink))

    fanout.publish(b"a", None)
    fanout.publish(b"b", None)
    before = list(sink.writes)
    await asyncio.sleep(0)

    assert (before, sink.writes) == ([], [b"ab"])


def test_a_thread_without_a_loop_changes_nothing() -> None:
    """What cannot be flushed is not buffered, so the next broadcast is written."""
    wire = WebSocketWire(V2, Tick(), Limits(), Counters())
    sinks = [ListSink(), ListSink()]
    alone, shared = wire.open_fanout(), wire.open_fanout()
    outboxes = [Outbox(wire, sink) for sink in sinks]
    alone.add(outboxes[0])
    for fanout in (alone, shared):
        fanout.add(outboxes[1])

    async def publish() -> None:
        alone.publish(b"b", None)
        shared.publish(b"c", None)

    for fanout, exclude in ((alone, None), (shared, None), (alone, outboxes[0])):
        with pytest.raises(WrongThreadError):
            fanout.publish(b"a", exclude)
    asyncio.run(publish())

    assert [sink.writes for sink in sinks] == [[b"b"], [b"bc"]]


def test_sharing_begins_again_with_the_next_tick(harness: OutboxHarness) -> None:
    """A detached client shares the fanout's bytes again in the next tick."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)
    _, other = harness.client(fanout)
    fanout.publish(b"a", None)
    outbox.send(b"1")
    harness.tick.flush()

    fanout.publish(b"b", None)
    fanout.publish(b"c", None)
    harness.tick.flush()

    assert sink.writes == [b"a1", b"bc"]
    assert sink.writes[-1] is other.writes[-1]


def test_sharing_begins_again_in_another_fanout(harness: OutboxHarness) -> None:
    """A client that left its only fanout shares the bytes of the next one that it joins."""
    first, second = harness.fanout(), harness.fanout()
    outbox, sink = harness.client(first)
    _, other = harness.client(second)

    first.discard(outbox)
    second.add(outbox)
    second.publish(b"a", None)
    second.publish(b"b", None)
    harness.tick.flush()

    assert sink.writes == [b"ab"]
    assert sink.writes[0] is other.writes[0]
