"""Exactly when an outbox or a fanout writes early, and how many bytes are unsent."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.protocol.frame import CLOSE, PONG, frame_header
from phoenix_compat.protocol.message import BinaryFrame
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.runtime.sending.wire import ByteWire, WebSocketWire
from tests.unit.runtime.harness import ListSink
from tests.unit.runtime.sending.outbox_harness import OutboxHarness


@pytest.fixture
def harness() -> OutboxHarness:
    """A harness without clients."""
    return OutboxHarness()


@pytest.mark.parametrize("way", ["send", "broadcast", "in two fanouts"])
def test_a_frame_over_64_kib_is_written_early(harness: OutboxHarness, way: str) -> None:
    """One of 65 536 bytes waits for the end of the tick, one more byte does not."""
    fanout = harness.fanout()
    fanouts = [fanout, harness.fanout()] if way == "in two fanouts" else [fanout]
    outbox, sink = harness.client(*fanouts)
    harness.tick.hold()
    outbox.expect_more()

    for size in (65_536, 65_537):
        if way == "send":
            outbox.send(b"x" * size)
        else:
            fanout.publish(b"x" * size, None)

        assert sum(map(len, sink.writes)) == (0 if size == 65_536 else 65_536 + 65_537)


def test_64_frames_of_one_tick_are_written_early(harness: OutboxHarness) -> None:
    """For a client in two fanouts, whose broadcasts are in its own queue."""
    fanout = harness.fanout()
    _, sink = harness.client(fanout, harness.fanout())
    harness.tick.hold()

    counts = []
    for _ in range(128):
        fanout.publish(b"x", None)
        counts.append(sum(map(len, sink.writes)))

    assert counts == [0] * 63 + [64] * 64 + [128]


def test_a_thousand_broadcasts_of_one_tick_are_written_early(harness: OutboxHarness) -> None:
    """The limit of a fanout."""
    fanout = harness.fanout()
    _, sink = harness.client(fanout)
    harness.tick.hold()

    counts = []
    for _ in range(1_001):
        fanout.publish(b"x", None)
        counts.append(sum(map(len, sink.writes)))

    assert counts == [0] * 999 + [1_000] * 2


def test_the_size_of_what_is_unsent(harness: OutboxHarness) -> None:
    """In the queue of the tick, in the backlog, and in both."""
    outbox, sink = harness.client()
    sizes = [outbox.unsent_bytes]
    outbox.expect_more()
    sizes.append(outbox.unsent_bytes)
    outbox.send(b"12345")
    outbox.send(b"67")
    sizes.append(outbox.unsent_bytes)
    sink.free_bytes = 3
    harness.tick.flush()
    sizes.append(outbox.unsent_bytes)
    outbox.send(b"8")
    sizes.append(outbox.unsent_bytes)
    outbox.discard()
    sizes.append(outbox.unsent_bytes)

    assert sizes == [0, 0, 7, 4, 5, 0]


def test_what_is_unsent_of_a_queue_behind_a_backlog(harness: OutboxHarness) -> None:
    """Frames that were queued before another one met a full socket count too."""
    outbox, sink = harness.client()
    outbox.expect_more()
    outbox.send(b"12345")
    sink.free_bytes = 0
    outbox.write_out(b"67")

    assert outbox.unsent_bytes == 7


def test_a_backlog_is_offered_in_quarters_of_a_megabyte(harness: OutboxHarness) -> None:
    """In whole frames: as many as make a quarter, and no more; what was not taken still counts."""
    outbox, sink = harness.client(max_bytes=10_000_000)
    sink.free_bytes = 0
    frames = [b"%d" % (number % 10) * 65_536 for number in range(10)]
    for frame in frames:
        outbox.send(frame)
    sizes = [outbox.unsent_bytes]

    for free_bytes in (262_144 + 100, 262_144, None):
        sink.free_bytes = free_bytes
        outbox.resume()
        sizes.append(outbox.unsent_bytes)

    left = [655_360 - 262_244, 655_360 - 524_388]
    assert sizes == [655_360, *left, 0]
    assert b"".join(sink.writes) == b"".join(frames)
    # The rest of the frame that was begun is offered with the next ones.
    assert [len(data) for data in sink.writes][:2] == [262_144, 100]


def test_frames_that_replace_others_are_counted_each_time(harness: OutboxHarness) -> None:
    """Only those of the same key, and never those without one."""
    outbox, sink = harness.client()
    sink.free_bytes = 0
    outbox.send(b"<begun>")

    for key in ("a", "b", "a", None, None, "a", "b"):
        outbox.enqueue(b"<x>", key)

    assert harness.wire.counters.frames_replaced == 3
    assert outbox.unsent_bytes == len(b"<begun>") + 4 * len(b"<x>")


def test_a_client_that_is_not_slow_has_no_backlog(harness: OutboxHarness) -> None:
    """A poll of such a client gets nothing."""
    outbox, _ = harness.client()

    assert outbox.take() == b""
    assert outbox.unsent_bytes == 0


def test_a_connection_that_broke_gets_only_its_last_bytes(harness: OutboxHarness) -> None:
    """If it can still be written to at all."""
    outbox, sink = harness.client()
    sink.error = ConnectionResetError("gone")
    outbox.send(b"a")

    outbox.close(b"bye")

    assert sink.writes == [b"bye"]


def test_an_answer_of_a_held_tick_meets_a_full_socket(harness: OutboxHarness) -> None:
    """What was not taken of it follows when the socket is free, before later frames."""
    outbox, sink = harness.client()
    harness.tick.hold()
    outbox.send(b"12345")
    sink.free_bytes = 2

    harness.tick.release()
    outbox.send(b"6")
    sink.free_bytes = None
    outbox.resume()

    assert sink.writes == [b"12", b"3456"]


@pytest.mark.parametrize("error", [BlockingIOError(), ConnectionResetError("gone")], ids=repr)
def test_an_answer_of_a_held_tick_cannot_be_written(harness: OutboxHarness, error: OSError) -> None:
    """It waits, or the connection is reported as broken; other clients get theirs."""
    outbox, sink = harness.client()
    other, others = harness.client()
    harness.tick.hold()
    outbox.send(b"123")
    other.send(b"456")
    sink.error = error

    harness.tick.release()

    is_blocked = isinstance(error, BlockingIOError)
    assert (outbox.unsent_bytes, sink.breaks) == ((3, []) if is_blocked else (0, [error]))
    assert others.writes == [b"456"]


def test_a_client_with_a_held_answer_joins_in_the_same_tick(harness: OutboxHarness) -> None:
    """It gets its answer, then what is published later, and nothing of what was before."""
    fanout = harness.fanout()
    harness.client(fanout)
    outbox, sink = harness.client()
    harness.tick.hold()
    fanout.publish(b"<before>", None)
    outbox.send(b"<1>")

    fanout.add(outbox)
    outbox.send(b"<2>")
    fanout.publish(b"<after>", None)
    harness.tick.release()

    assert b"".join(sink.writes) == b"<1><2><after>"


def test_a_client_in_three_fanouts_leaves_two(harness: OutboxHarness) -> None:
    """Its frames stay in one queue: each once, in order, in one write."""
    fanouts = [harness.fanout() for _ in range(4)]
    outbox, sink = harness.client(*fanouts[:3])

    fanouts[0].discard(outbox)
    fanouts[1].discard(outbox)
    fanouts[3].add(outbox)
    for number in (2, 3, 0, 2, 3):
        fanouts[number].publish(b"<%d>" % number, None)
    harness.tick.flush()

    assert sink.writes == [b"<2><3><2><3>"]
    assert outbox.fanout_count == 2
    assert [len(fanout) for fanout in fanouts] == [0, 0, 1, 1]


def test_whether_a_client_is_the_only_one(harness: OutboxHarness) -> None:
    """Also if it is in several fanouts."""
    alone, shared, elsewhere = (harness.fanout() for _ in range(3))
    solo, _ = harness.client(alone)
    multi, _ = harness.client(shared, elsewhere)
    harness.client(elsewhere)

    assert alone.is_only(solo)
    assert shared.is_only(multi)
    assert not alone.is_only(multi)
    assert not shared.is_only(solo)
    assert not elsewhere.is_only(multi)
    assert not alone.is_only(None)
    assert not harness.fanout().is_only(solo)


def test_what_a_closed_loop_would_have_written_is_dropped() -> None:
    """After `reset` the next loop writes what is published there, and only that."""
    wire = WebSocketWire(V2, Tick(), Limits(), Counters())
    fanout, sink = wire.open_fanout(), ListSink()
    fanout.add(Outbox(wire, sink))
    wire.tick.hold()
    wire.tick.reset()

    async def publish() -> None:
        fanout.publish(b"a", None)
        await asyncio.sleep(0)

    asyncio.run(publish())

    assert sink.writes == [b"a"]


def test_names_of_transports() -> None:
    """As in `socket.transport`, and for metrics."""
    assert (WebSocketWire.transport, ByteWire.transport) == ("websocket", "other")


@pytest.mark.parametrize("size", [0, 125, 126, 1_023, 1_024, 1_025, 65_536])
@pytest.mark.parametrize("is_binary", [False, True])
def test_frames_of_every_length(harness: OutboxHarness, size: int, is_binary: bool) -> None:
    """The header of a frame is that of its kind and length."""
    message = BinaryFrame(b"x" * size) if is_binary else b"x" * size

    packet = harness.wire.pack(message)

    assert packet == frame_header(0x2 if is_binary else 0x1, size) + message
    unpacked = harness.wire.unpack(packet)
    assert unpacked == message
    assert isinstance(unpacked, BinaryFrame) == is_binary


@pytest.mark.parametrize("opcode", [PONG, CLOSE])
def test_frames_that_are_not_messages(harness: OutboxHarness, opcode: int) -> None:
    """Control frames have no message."""
    assert harness.wire.unpack(frame_header(opcode, 2) + b"ab") is None
