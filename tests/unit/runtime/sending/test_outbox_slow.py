"""Slow clients: a bounded backlog, with only the newest of frames that replace each other."""

from __future__ import annotations

import pytest

from tests.unit.runtime.sending.outbox_harness import OutboxHarness


@pytest.fixture
def harness() -> OutboxHarness:
    """A harness without clients."""
    return OutboxHarness()


def test_what_the_socket_did_not_take_waits(harness: OutboxHarness) -> None:
    """A partly written frame is completed first; later frames follow in one write."""
    outbox, sink = harness.client()
    sink.free_bytes = 3

    for packet in (b"12345", b"67", b"8"):
        outbox.send(packet)
    sink.free_bytes = None
    outbox.resume()
    outbox.send(b"9")

    assert sink.is_notify_requested
    assert sink.writes == [b"123", b"45678", b"9"]


def test_a_slow_client_may_catch_up(harness: OutboxHarness) -> None:
    """Up to the limit a slow client stays connected, and every free byte is used."""
    outbox, sink = harness.client(max_bytes=10)
    sink.free_bytes = 0

    outbox.send(b"12345")
    outbox.send(b"67890")
    sink.free_bytes = 7
    outbox.resume()
    sink.free_bytes = None
    outbox.resume()
    outbox.send(b"any number of bytes more")

    assert sink.writes == [b"1234567", b"890", b"any number of bytes more"]
    assert not sink.overflows


def test_a_message_of_any_size_may_wait_alone(harness: OutboxHarness) -> None:
    """The limit is for the backlog; one long message does not make a client too slow."""
    outbox, sink = harness.client(max_bytes=10)
    sink.free_bytes = 1

    outbox.send(b"more than ten bytes")
    sink.free_bytes = None
    outbox.resume()

    assert b"".join(sink.writes) == b"more than ten bytes"
    assert not sink.overflows


def test_a_client_that_is_too_slow_is_closed_once(harness: OutboxHarness) -> None:
    """Over the limit a client gets the rest of the partly written frame and its close frame."""
    outbox, sink = harness.client(max_bytes=10)
    sink.free_bytes = 2

    for packet in (b"12345", b"678", b"abcdef", b"x"):
        outbox.send(packet)
    outbox.resume()
    outbox.send(b"y")
    outbox.close(b"bye")

    assert sink.writes == [b"12", b"345bye"]
    assert sink.overflows == 1


def test_a_broadcast_finds_a_client_slow(harness: OutboxHarness) -> None:
    """Clients of a fanout that read share its bytes; the slow one hears all of it later, in
    order.
    """
    fanout = harness.fanout()
    outbox, slow = harness.client(fanout)
    _, sink = harness.client(fanout)
    slow.free_bytes = 1

    for packet in (b"<a>", b"<b>", b"<c>"):
        fanout.publish(packet, None)
        harness.tick.flush()
    fanout.publish(b"<d>", None)
    slow.free_bytes = None
    outbox.resume()
    fanout.publish(b"<e>", None)
    harness.tick.flush()
    fanout.publish(b"<f>", None)
    harness.tick.flush()

    assert sink.writes == [b"<a>", b"<b>", b"<c>", b"<d><e>", b"<f>"]
    assert slow.writes == [b"<", b"a><b><c><d>", b"<e>", b"<f>"]
    assert slow.writes[-1] is sink.writes[-1]


def test_of_some_broadcasts_only_the_newest_waits(harness: OutboxHarness) -> None:
    """For slow clients, frames with a key replace older ones; others keep their place."""
    fanout = harness.fanout()
    outbox, slow = harness.client(fanout)
    _, sink = harness.client(fanout)
    slow.free_bytes = 0

    for packet, key in ((b"<1>", "p"), (b"<2>", "p"), (b"<q>", "q"), (b"<!>", None), (b"<3>", "p")):
        fanout.publish(packet, None, key)
        harness.tick.flush()
    slow.free_bytes = None
    outbox.resume()

    assert b"".join(sink.writes) == b"<1><2><q><!><3>"
    assert slow.writes == [b"<1><q><!><3>"], "the first was being written when it became slow"
    assert harness.wire.counters.frames_replaced == 1


def test_what_is_replaced_counts_no_more(harness: OutboxHarness) -> None:
    """A flood of progress does not make a client too slow: only the newest frame counts."""
    fanout = harness.fanout()
    outbox, slow = harness.client(fanout, max_bytes=20)
    slow.free_bytes = 0

    for number in range(10, 60):
        fanout.publish(b"<%d>" % number, None, "progress")
        harness.tick.flush()
    fanout.publish(b"<end>", None)
    slow.free_bytes = None
    outbox.resume()

    assert slow.writes == [b"<10><59><end>"]
    assert not slow.overflows


def test_a_slow_client_keeps_the_order_across_fanouts(harness: OutboxHarness) -> None:
    """A slow client that joins or leaves fanouts gets all frames once, in order."""
    first, second = harness.fanout(), harness.fanout()
    outbox, slow = harness.client(first)
    slow.free_bytes = 0
    outbox.send(b"<0>")

    first.publish(b"<1>", None)
    first.discard(outbox)
    first.publish(b"<no>", None)
    second.publish(b"<no>", None)
    second.add(outbox)
    second.publish(b"<2>", None)
    second.publish(b"<no>", outbox)
    harness.tick.flush()
    first.add(outbox)
    first.publish(b"<3>", None)
    slow.free_bytes = None
    outbox.resume()
    harness.tick.flush()

    assert slow.writes == [b"<0><1><2><3>"]


def test_a_long_backlog_is_written_in_pieces(harness: OutboxHarness) -> None:
    """At most a quarter of a megabyte is offered to the socket at a time, to avoid copies."""
    outbox, sink = harness.client(max_bytes=10_000_000)
    sink.free_bytes = 0
    frames = [b"%07d" % number * 1_000 for number in range(100)]

    for frame in frames:
        outbox.send(frame)
    sink.free_bytes = None
    outbox.resume()

    assert b"".join(sink.writes) == b"".join(frames)
    assert max(map(len, sink.writes)) <= 256 * 1024 + 7_000


@pytest.mark.parametrize("way", ["send", "broadcast", "flush", "resume"])
def test_a_broken_socket_is_reported_once(harness: OutboxHarness, way: str) -> None:
    """After the first error of a broken socket nothing more is written."""
    fanout = harness.fanout()
    outbox, sink = harness.client(fanout)
    if way == "resume":
        sink.free_bytes = 0
        outbox.send(b"waits")
    sink.error = ConnectionResetError("gone")

    if way == "resume":
        outbox.resume()
    if way == "flush":
        outbox.expect_more()
    if way == "broadcast":
        fanout.publish(b"a", None)
    outbox.send(b"b")
    harness.tick.flush()
    outbox.send(b"c")

    assert sink.breaks == [sink.error]
