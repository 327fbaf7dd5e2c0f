"""Each rule about connections passes a correct client and fails a wrong one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from phoenix_compat.conformance.faults.record import EntryKind
from phoenix_compat.conformance.faults.record_view import Outcome
from tests.unit.conformance.faults.record_builder import RecordBuilder

PHOENIX_JS_WAITS_S = (0.01, 0.05, 0.10, 0.15, 0.20, 0.25, 0.5)
WITH_JITTER_S = (0.3, 0.9, 0.5, 1.9, 1.1, 2.5)


def lost(name: str) -> RecordBuilder:
    """A client that was joined when its connection was lost."""
    return RecordBuilder(name).connects_and_joins().wait(0.1).strike().ends()


def refused(name: str, waits_s: Sequence[float], status: int = 503) -> RecordBuilder:
    """Like `lost`, and each further attempt is refused."""
    record = lost(name)
    for wait_s in waits_s:
        record.wait(wait_s).attempt(refused=status)
    return record


def test_frames_with_refs_of_their_own() -> None:
    """Messages with distinct refs pass."""
    record = RecordBuilder("join/well_formed").connects_and_joins().sends_heartbeat().sends("echo")

    assert record.finding().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            RecordBuilder("join/well_formed").connects_and_joins().sends("echo", ref="1"),
            "used ref '1' twice",
        ),
        (
            RecordBuilder("join/well_formed").connects_and_joins().add(EntryKind.UNREADABLE),
            "not a valid message",
        ),
        (RecordBuilder("join/well_formed").attempt().sends("phx_join", ref=None), "without a ref"),
    ],
)
def test_frames_that_are_not_well_formed(record: RecordBuilder, words: str) -> None:
    """A ref used twice, an unreadable frame or a join without a ref fails."""
    finding = record.finding()

    assert finding.outcome is Outcome.FAILED
    assert words in finding.reason


def test_a_ref_may_return_on_another_connection() -> None:
    """Refs start again with each connection."""
    record = (
        RecordBuilder("join/well_formed")
        .connects_and_joins()
        .sends("echo", ref="7")
        .ends()
        .connects_and_joins()
    )

    assert record.sends("echo", ref="7").finding().outcome is Outcome.PASSED


def test_heartbeats_in_time() -> None:
    """A heartbeat or a websocket ping every 30 s passes."""
    assert (
        RecordBuilder("heartbeat/sent")
        .connects_and_joins()
        .wait(30)
        .sends_heartbeat()
        .finding()
        .outcome
        is Outcome.PASSED
    )
    pinged = RecordBuilder("heartbeat/sent").connects_and_joins().wait(30).add(EntryKind.PING)
    assert pinged.finding().outcome is Outcome.PASSED


def test_heartbeats_too_late() -> None:
    """61 s of silence fail, with or without heartbeats before."""
    rare = RecordBuilder("heartbeat/sent").connects_and_joins().wait(20).sends_heartbeat().wait(61)

    assert rare.finding().outcome is Outcome.FAILED
    assert (
        RecordBuilder("heartbeat/sent").connects_and_joins().wait(61).finding().outcome
        is Outcome.FAILED
    )


def test_heartbeats_not_yet() -> None:
    """After 10 s a heartbeat is not due yet; a client that left cannot be judged."""
    assert (
        RecordBuilder("heartbeat/sent").connects_and_joins().wait(10).finding().outcome
        is Outcome.WAITING
    )
    assert (
        RecordBuilder("heartbeat/sent").connects_and_joins().wait(10).ends().finding().outcome
        is Outcome.NOT_SEEN
    )


@pytest.mark.parametrize("name", ["heartbeat/timeout", "heartbeat/half_open"])
def test_an_unanswered_heartbeat_is_noticed(name: str) -> None:
    """A client that gives up the connection and reconnects passes."""
    record = RecordBuilder(name).connects_and_joins().strike().wait(30).sends_heartbeat().wait(30)

    record.add(EntryKind.CLIENT_CLOSED, code=1000).ends().connects_and_joins("9")

    finding = record.finding()
    assert finding.outcome is Outcome.PASSED
    assert "gave up 30.00 s after" in finding.reason


def test_an_unanswered_heartbeat_is_not_noticed() -> None:
    """A client fails if it keeps sending heartbeats, keeps waiting, or does not reconnect."""
    record = RecordBuilder("heartbeat/timeout").connects_and_joins().strike()
    stubborn = (
        record.sends_heartbeat()
        .wait(1)
        .sends_heartbeat()
        .wait(1)
        .sends_heartbeat()
        .wait(1)
        .sends_heartbeat()
    )
    patient = (
        RecordBuilder("heartbeat/timeout").connects_and_joins().strike().sends_heartbeat().wait(101)
    )
    gone = (
        RecordBuilder("heartbeat/timeout")
        .connects_and_joins()
        .strike()
        .sends_heartbeat()
        .ends()
        .wait(101)
    )

    assert stubborn.finding().outcome is Outcome.FAILED
    assert patient.finding().outcome is Outcome.FAILED
    assert gone.finding().outcome is Outcome.FAILED


def test_it_comes_back() -> None:
    """A new connection with a join on it passes."""
    finding = lost("reconnect/drop").wait(0.5).connects_and_joins("9").finding()

    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "connected after 0.50 s, joined again after 0.50 s"
    assert [entry.kind for entry in finding.evidence] == [
        EntryKind.STRUCK,
        EntryKind.OPENED,
        EntryKind.RECEIVED,
    ]


def test_it_does_not_come_back() -> None:
    """Without a connection or a join on it: first waiting, then failed when time is up."""
    gone = lost("reconnect/drop").wait(1)
    idle = lost("reconnect/drop").wait(1).attempt().wait(1)

    assert gone.finding().outcome is Outcome.WAITING
    assert gone.finding(is_final=True).reason == "no new connection within 1.0 s"
    assert idle.finding().outcome is Outcome.WAITING
    assert "no join of the topic" in idle.finding(is_final=True).reason
    assert idle.wait(20).finding().outcome is Outcome.FAILED


@pytest.mark.parametrize("name", ["reconnect/backoff", "reconnect/restart"])
@pytest.mark.parametrize("waits_s", [PHOENIX_JS_WAITS_S, WITH_JITTER_S, (2.0,) * 6])
def test_it_backs_off(name: str, waits_s: Sequence[float]) -> None:
    """Waits that grow, with or without jitter, or are long from the start, pass."""
    record = refused(name, waits_s).wait(waits_s[-1]).connects_and_joins("9")

    assert record.finding().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("waits_s", "words"),
    [
        ((0.01,) * 6, "hammers: waited 0.01, 0.01"),
        ((2.0, 2.0, 1.0, 0.5, 0.2, 0.2), "waits shrink"),
    ],
)
def test_it_does_not_back_off(waits_s: Sequence[float], words: str) -> None:
    """Waits that stay short or shrink fail."""
    finding = refused("reconnect/backoff", waits_s).wait(0.2).connects_and_joins("9").finding()

    assert finding.outcome is Outcome.FAILED
    assert words in finding.reason


def test_hammering_fails_before_the_end() -> None:
    """A client that hammers fails even while its attempts are refused."""
    assert refused("reconnect/backoff", (0.01,) * 6).finding().outcome is Outcome.FAILED


def test_giving_up_is_not_backoff() -> None:
    """A client must reconnect after a 503."""
    assert refused("reconnect/backoff", (1.0,)).finding(is_final=True).outcome is Outcome.FAILED


def flapped(wait_s: float) -> RecordBuilder:
    """Eight connections that are closed right after they open, then one that stays open."""
    record = lost("reconnect/accept_then_close")
    for _time in range(8):
        record.wait(wait_s).attempt().add(EntryKind.CLOSING, code=1011).joins().ends()
    return record.wait(wait_s).connects_and_joins("9")


def test_connections_that_do_not_last_count_as_failures() -> None:
    """Resetting the backoff to 10 ms after each connection fails; waiting longer passes."""
    assert flapped(0.01).finding().outcome is Outcome.FAILED
    assert flapped(1.0).finding().outcome is Outcome.PASSED


def test_a_refusal_is_respected() -> None:
    """After 403s a client may stop, or retry with backoff, but not hammer."""
    stopped = refused("reconnect/forbidden", (0.5,), 403)
    trying = (
        refused("reconnect/forbidden", PHOENIX_JS_WAITS_S, 403).wait(0.5).connects_and_joins("9")
    )
    hammering = refused("reconnect/forbidden", (0.01,) * 5, 403)

    assert stopped.finding().outcome is Outcome.WAITING
    assert stopped.finding(is_final=True).reason == "stopped after 1 refusals"
    assert trying.finding().outcome is Outcome.PASSED
    assert hammering.finding().outcome is Outcome.FAILED


def test_pings() -> None:
    """A pong after the ping passes; no pong fails."""
    pinged = RecordBuilder("frames/ping").connects_and_joins().strike().wait(0.1)

    assert pinged.finding().outcome is Outcome.WAITING
    assert pinged.finding(is_final=True).outcome is Outcome.FAILED
    assert pinged.add(EntryKind.PONG).finding().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "name",
    [
        "join/well_formed", "heartbeat/sent", "heartbeat/timeout", "reconnect/drop",
        "reconnect/backoff", "reconnect/forbidden", "frames/ping",
    ],
)  # fmt: skip
def test_nothing_happened(name: str) -> None:
    """Without a join there is nothing to judge, even when the record is final."""
    assert RecordBuilder(name).attempt().finding(is_final=True).outcome is Outcome.NOT_SEEN
