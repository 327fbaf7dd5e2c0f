"""The rules of channels: each passes for a client that does right and fails for one that errs."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.faults.record import Kind
from phoenix_compat.conformance.faults.record_view import Outcome
from tests.unit.conformance.faults.record_builder import Tale


def struck(name: str) -> Tale:
    """A client that joined, and then the fault struck."""
    return Tale(name).comes().wait(0.1).strike()


@pytest.mark.parametrize("name", ["rejoin/crash", "rejoin/crash_in_push", "rejoin/join_timeout"])
def test_it_rejoins(name: str) -> None:
    """A join after the fault is right; none is wrong once it is late."""
    tale = struck(name).wait(1)

    assert tale.judged().outcome is Outcome.WAITING
    assert tale.judged(is_final=True).outcome is Outcome.FAILED
    assert tale.joins("5").judged().outcome is Outcome.PASSED


def test_refused_joins_are_repeated_gently() -> None:
    """Waits between joins; joining every 10 ms hammers, and stopping is wrong too."""
    gentle = struck("rejoin/refused").wait(1).joins("2").strike().wait(2).joins("3")
    hammering = struck("rejoin/refused").wait(0.01).joins("2").strike().wait(0.01).joins("3")
    stopped = struck("rejoin/refused").wait(1).joins("2").strike()

    assert gentle.judged().reason == "joined again after 1.10, 2.00 s"
    assert hammering.judged().outcome is Outcome.FAILED
    assert stopped.judged(is_final=True).outcome is Outcome.FAILED


def test_join_refs() -> None:
    """A new join_ref is right, the old one wrong."""
    tale = struck("rejoin/new_join_ref")

    assert tale.judged(is_final=True).outcome is Outcome.FAILED
    assert struck("rejoin/new_join_ref").joins("9").judged().outcome is Outcome.PASSED
    assert struck("rejoin/new_join_ref").joins("1").judged().outcome is Outcome.FAILED


def test_closed_channels() -> None:
    """Who does not join again after phx_close is right, once it was watched for a while."""
    tale = struck("rejoin/not_after_close").wait(1)

    assert tale.judged().outcome is Outcome.WAITING
    assert tale.judged(is_final=True).outcome is Outcome.PASSED
    assert tale.joins("5").judged().outcome is Outcome.FAILED


def test_stale_messages_are_ignored() -> None:
    """The app hears the true event only, and the channel stays joined."""
    tale = struck("stale/ignored").heard(n=1)

    assert tale.judged().outcome is Outcome.WAITING
    assert tale.wait(0.5).judged().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "tale",
    [
        struck("stale/ignored").heard(n=1).heard(stale=True),
        struck("stale/ignored").heard(n=1).heard(reply={"stale": True}),
        struck("stale/ignored").heard(n=1).joins("5"),
        struck("stale/ignored"),
    ],
)
def test_stale_messages_are_believed(tale: Tale) -> None:
    """The app hears a stale event or reply, the client rejoins, or loses the true event."""
    assert tale.judged(is_final=True).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "name", ["frames/fragmented", "frames/split", "events/broadcast", "events/unknown"]
)
def test_events_that_must_be_heard(name: str) -> None:
    """Heard is right; not heard, or heard only after another join, is wrong."""
    tale = struck(name)

    assert tale.judged().outcome is Outcome.WAITING
    assert tale.judged(is_final=True).outcome is Outcome.FAILED
    assert tale.heard(n=1).judged().outcome is Outcome.PASSED
    assert tale.comes("5").judged().outcome is Outcome.FAILED


def test_bytes() -> None:
    """All four bytes must be heard."""
    assert struck("events/binary").heard(bytes=4).judged().outcome is Outcome.PASSED
    assert struck("events/binary").heard(bytes=3).judged().outcome is Outcome.FAILED
    assert struck("events/binary").judged(is_final=True).outcome is Outcome.FAILED
    left = struck("events/binary").add(Kind.CLIENT_CLOSED, code=1000)
    assert left.judged().reason == "closed the connection with 1000 when the bytes came"


@pytest.mark.parametrize("name", ["push/reply_once", "push/late_reply"])
def test_replies(name: str) -> None:
    """One reply is heard once: neither never nor twice."""
    once = struck(name).heard(reply={"some": "payload"})

    assert once.judged().outcome is Outcome.WAITING
    assert once.wait(0.5).judged().outcome is Outcome.PASSED
    assert once.heard(reply={"some": "payload"}).judged().outcome is Outcome.FAILED
    assert struck(name).judged(is_final=True).outcome is Outcome.FAILED


def test_timeouts() -> None:
    """The app must be told of a push that is never answered."""
    assert struck("push/timeout").wait(10).heard(timeout=True).judged().outcome is Outcome.PASSED
    assert struck("push/timeout").wait(31).judged().outcome is Outcome.FAILED


def lost() -> Tale:
    """A client whose app pushed something before the connection was lost."""
    return Tale("push/buffered").comes().says("echo", join_ref="1").strike().ends()


def test_pushes_are_buffered() -> None:
    """A push made without a connection comes once, after the rejoin and with its join_ref."""
    tale = lost().comes("9").says("buffered", join_ref="9")

    assert tale.judged(is_final=True).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("tale", "words"),
    [
        (lost().comes("9"), "no push that was made"),
        (lost(), "no rejoin"),
        (
            lost().attempt().says("buffered", join_ref="1").joins("9"),
            "before the join",
        ),
        (
            lost().comes("9").says("buffered", join_ref="1"),
            "join_ref of a former join",
        ),
        (
            lost().comes("9").says("buffered").says("buffered"),
            "one push came 2 times",
        ),
    ],
)
def test_pushes_are_lost_or_repeated(tale: Tale, words: str) -> None:
    """Lost, early, stale and repeated pushes are wrong."""
    finding = tale.judged(is_final=True)

    assert finding.outcome is Outcome.FAILED
    assert words in finding.reason


def test_apps_that_cannot_play() -> None:
    """A client that cannot push, or knows no presence, is not judged for it."""
    for name in ("push/buffered", "presence/merged", "presence/renewed"):
        tale = struck(name).ends().comes("9")
        assert tale.judged(is_final=True).outcome is Outcome.NOT_SEEN
    refusal = {"status": "error", "response": {"reason": "needs vsn 2.0.0"}}
    topic = Tale("events/binary").scenario.topic
    refused = Tale("events/binary").comes().add(Kind.SENT, topic=topic, payload=refusal)
    assert refused.judged().reason == "the join was refused: needs vsn 2.0.0"
    silent = Tale("push/timeout").comes()
    assert silent.judged(is_final=True).reason == (
        "the fault did not strike: the app pushed nothing"
    )


def test_presence_is_merged() -> None:
    """The early diff counts, and the last list is that of the last diff."""
    tale = struck("presence/merged")
    tale.heard(present={"ann": 1, "bob": 1}).heard(present={"ann": 2, "bob": 1})

    assert tale.judged().outcome is Outcome.WAITING
    assert tale.heard(present={"ann": 1}).judged().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "tale",
    [
        struck("presence/merged").heard(present={"ann": 1}),
        struck("presence/merged").heard(present={"ann": 1, "bob": 1}).heard(present={}),
    ],
)
def test_presence_is_not_merged(tale: Tale) -> None:
    """Without bob the early diff was dropped; without ann a leave took too much."""
    assert tale.judged(is_final=True).outcome is Outcome.FAILED


def test_presence_is_renewed() -> None:
    """After the rejoin only the new state counts."""
    tale = struck("presence/renewed").heard(present={"ann": 1}).comes("9")

    assert tale.judged(is_final=True).outcome is Outcome.FAILED
    assert tale.heard(present={"ann": 1, "cleo": 1}).judged().outcome is Outcome.FAILED
    assert tale.heard(present={"cleo": 1}).judged().outcome is Outcome.PASSED
