"""Each rule about channels passes a correct client and fails a wrong one."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.faults.record import EntryKind
from phoenix_compat.conformance.faults.record_view import Outcome
from tests.unit.conformance.faults.record_builder import RecordBuilder


def struck(name: str) -> RecordBuilder:
    """A client that joined before the fault struck."""
    return RecordBuilder(name).connects_and_joins().wait(0.1).strike()


@pytest.mark.parametrize("name", ["rejoin/crash", "rejoin/crash_in_push", "rejoin/join_timeout"])
def test_it_rejoins(name: str) -> None:
    """A join after the fault passes; no join fails once the record is final."""
    record = struck(name).wait(1)

    assert record.finding().outcome is Outcome.WAITING
    assert record.finding(is_final=True).outcome is Outcome.FAILED
    assert record.joins("5").finding().outcome is Outcome.PASSED


def test_refused_joins_are_repeated_gently() -> None:
    """Waiting between joins passes; joining every 10 ms or giving up fails."""
    gentle = struck("rejoin/refused").wait(1).joins("2").strike().wait(2).joins("3")
    hammering = struck("rejoin/refused").wait(0.01).joins("2").strike().wait(0.01).joins("3")
    stopped = struck("rejoin/refused").wait(1).joins("2").strike()

    assert gentle.finding().reason == "joined again after 1.10, 2.00 s"
    assert hammering.finding().outcome is Outcome.FAILED
    assert stopped.finding(is_final=True).outcome is Outcome.FAILED


def test_join_refs() -> None:
    """A new join_ref passes, the old one fails."""
    record = struck("rejoin/new_join_ref")

    assert record.finding(is_final=True).outcome is Outcome.FAILED
    assert struck("rejoin/new_join_ref").joins("9").finding().outcome is Outcome.PASSED
    assert struck("rejoin/new_join_ref").joins("1").finding().outcome is Outcome.FAILED


def test_closed_channels() -> None:
    """Not joining again after phx_close passes, once the timeout has passed."""
    record = struck("rejoin/not_after_close").wait(1)

    assert record.finding().outcome is Outcome.WAITING
    assert record.finding(is_final=True).outcome is Outcome.PASSED
    assert record.joins("5").finding().outcome is Outcome.FAILED


def test_stale_messages_are_ignored() -> None:
    """The app receives only the current event, and the channel stays joined."""
    record = struck("stale/ignored").heard(n=1)

    assert record.finding().outcome is Outcome.WAITING
    assert record.wait(0.5).finding().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "record",
    [
        struck("stale/ignored").heard(n=1).heard(stale=True),
        struck("stale/ignored").heard(n=1).heard(reply={"stale": True}),
        struck("stale/ignored").heard(n=1).joins("5"),
        struck("stale/ignored"),
    ],
)
def test_stale_messages_are_not_ignored(record: RecordBuilder) -> None:
    """A stale event or reply that reaches the app, a rejoin or a lost event fails."""
    assert record.finding(is_final=True).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "name", ["frames/fragmented", "frames/split", "events/broadcast", "events/unknown"]
)
def test_events_that_the_app_must_receive(name: str) -> None:
    """Receiving the event passes; not receiving it, or only after another join, fails."""
    record = struck(name)

    assert record.finding().outcome is Outcome.WAITING
    assert record.finding(is_final=True).outcome is Outcome.FAILED
    assert record.heard(n=1).finding().outcome is Outcome.PASSED
    assert record.connects_and_joins("5").finding().outcome is Outcome.FAILED


def test_bytes() -> None:
    """All four bytes must reach the app."""
    assert struck("events/binary").heard(bytes=4).finding().outcome is Outcome.PASSED
    assert struck("events/binary").heard(bytes=3).finding().outcome is Outcome.FAILED
    assert struck("events/binary").finding(is_final=True).outcome is Outcome.FAILED
    left = struck("events/binary").add(EntryKind.CLIENT_CLOSED, code=1000)
    assert left.finding().reason == "closed the connection with 1000 when the bytes came"


@pytest.mark.parametrize("name", ["push/reply_once", "push/late_reply"])
def test_replies(name: str) -> None:
    """A reply must reach the app exactly once."""
    once = struck(name).heard(reply={"some": "payload"})

    assert once.finding().outcome is Outcome.WAITING
    assert once.wait(0.5).finding().outcome is Outcome.PASSED
    assert once.heard(reply={"some": "payload"}).finding().outcome is Outcome.FAILED
    assert struck(name).finding(is_final=True).outcome is Outcome.FAILED


def test_timeouts() -> None:
    """The app must be notified of a push that is never answered."""
    assert struck("push/timeout").wait(10).heard(timeout=True).finding().outcome is Outcome.PASSED
    assert struck("push/timeout").wait(31).finding().outcome is Outcome.FAILED


def lost() -> RecordBuilder:
    """A client whose app made a push before the connection was lost."""
    return (
        RecordBuilder("push/buffered")
        .connects_and_joins()
        .sends("echo", join_ref="1")
        .strike()
        .ends()
    )


def test_pushes_are_buffered() -> None:
    """A push made while disconnected arrives once, after the rejoin and with its join_ref."""
    record = lost().connects_and_joins("9").sends("buffered", join_ref="9")

    assert record.finding(is_final=True).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (lost().connects_and_joins("9"), "no push that was made"),
        (lost(), "no rejoin"),
        (
            lost().attempt().sends("buffered", join_ref="1").joins("9"),
            "before the join",
        ),
        (
            lost().connects_and_joins("9").sends("buffered", join_ref="1"),
            "join_ref of an earlier join",
        ),
        (
            lost().connects_and_joins("9").sends("buffered").sends("buffered"),
            "one push came 2 times",
        ),
    ],
)
def test_pushes_are_lost_or_repeated(record: RecordBuilder, words: str) -> None:
    """Lost, early, stale and repeated pushes fail."""
    finding = record.finding(is_final=True)

    assert finding.outcome is Outcome.FAILED
    assert words in finding.reason


def test_apps_that_cannot_play() -> None:
    """A client that cannot push, or does not know presence, is not judged for it."""
    for name in ("push/buffered", "presence/merged", "presence/renewed"):
        record = struck(name).ends().connects_and_joins("9")
        assert record.finding(is_final=True).outcome is Outcome.NOT_SEEN
    refusal = {"status": "error", "response": {"reason": "needs vsn 2.0.0"}}
    topic = RecordBuilder("events/binary").scenario.topic
    refused = (
        RecordBuilder("events/binary")
        .connects_and_joins()
        .add(EntryKind.SENT, topic=topic, payload=refusal)
    )
    assert refused.finding().reason == "the join was refused: needs vsn 2.0.0"
    silent = RecordBuilder("push/timeout").connects_and_joins()
    assert silent.finding(is_final=True).reason == (
        "the fault did not strike: the app pushed nothing"
    )


def test_presence_is_merged() -> None:
    """The early diff is applied, and the last list matches the last diff."""
    record = struck("presence/merged")
    record.heard(present={"ann": 1, "bob": 1}).heard(present={"ann": 2, "bob": 1})

    assert record.finding().outcome is Outcome.WAITING
    assert record.heard(present={"ann": 1}).finding().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "record",
    [
        struck("presence/merged").heard(present={"ann": 1}),
        struck("presence/merged").heard(present={"ann": 1, "bob": 1}).heard(present={}),
    ],
)
def test_presence_is_not_merged(record: RecordBuilder) -> None:
    """Without bob, the early diff was dropped; without ann, a leave removed too much."""
    assert record.finding(is_final=True).outcome is Outcome.FAILED


def test_presence_is_renewed() -> None:
    """After the rejoin, only the new state counts."""
    record = struck("presence/renewed").heard(present={"ann": 1}).connects_and_joins("9")

    assert record.finding(is_final=True).outcome is Outcome.FAILED
    assert record.heard(present={"ann": 1, "cleo": 1}).finding().outcome is Outcome.FAILED
    assert record.heard(present={"cleo": 1}).finding().outcome is Outcome.PASSED
