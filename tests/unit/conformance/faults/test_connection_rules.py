"""The rules of connections: each passes for a client that does right, else it fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from phoenix_compat.conformance.faults.record import Kind
from phoenix_compat.conformance.faults.record_view import Outcome
from tests.unit.conformance.faults.record_builder import Tale

PHOENIX_JS_WAITS_S = (0.01, 0.05, 0.10, 0.15, 0.20, 0.25, 0.5)
WITH_JITTER_S = (0.3, 0.9, 0.5, 1.9, 1.1, 2.5)


def lost(name: str) -> Tale:
    """A client that was joined when its connection was lost."""
    return Tale(name).comes().wait(0.1).strike().ends()


def refused(name: str, waits_s: Sequence[float], status: int = 503) -> Tale:
    """The same, and each further attempt is refused."""
    tale = lost(name)
    for wait_s in waits_s:
        tale.wait(wait_s).attempt(refused=status)
    return tale


def test_frames_with_refs_of_their_own() -> None:
    """A client whose messages can be told apart is well formed."""
    tale = Tale("join/well_formed").comes().beats().says("echo")

    assert tale.judged().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("tale", "words"),
    [
        (Tale("join/well_formed").comes().says("echo", ref="1"), "used ref '1' twice"),
        (Tale("join/well_formed").comes().add(Kind.UNREADABLE), "no message"),
        (Tale("join/well_formed").attempt().says("phx_join", ref=None), "without a ref"),
    ],
)
def test_frames_that_are_not_well_formed(tale: Tale, words: str) -> None:
    """A ref used twice on one connection, an unreadable frame, a join without a ref."""
    finding = tale.judged()

    assert finding.outcome is Outcome.FAILED
    assert words in finding.reason


def test_a_ref_may_return_on_another_connection() -> None:
    """Refs count anew with each connection."""
    tale = Tale("join/well_formed").comes().says("echo", ref="7").ends().comes()

    assert tale.says("echo", ref="7").judged().outcome is Outcome.PASSED


def test_heartbeats_in_time() -> None:
    """A heartbeat every 30 s is enough; so is a websocket ping."""
    assert Tale("heartbeat/sent").comes().wait(30).beats().judged().outcome is Outcome.PASSED
    pinged = Tale("heartbeat/sent").comes().wait(30).add(Kind.PING)
    assert pinged.judged().outcome is Outcome.PASSED


def test_heartbeats_too_late() -> None:
    """61 s of silence are too many, whether it sends heartbeats or none."""
    rare = Tale("heartbeat/sent").comes().wait(20).beats().wait(61)

    assert rare.judged().outcome is Outcome.FAILED
    assert Tale("heartbeat/sent").comes().wait(61).judged().outcome is Outcome.FAILED


def test_heartbeats_not_yet() -> None:
    """A client that is here since 10 s need not have sent one; one that left cannot be judged."""
    assert Tale("heartbeat/sent").comes().wait(10).judged().outcome is Outcome.WAITING
    assert Tale("heartbeat/sent").comes().wait(10).ends().judged().outcome is Outcome.NOT_SEEN


@pytest.mark.parametrize("name", ["heartbeat/timeout", "heartbeat/half_open"])
def test_an_unanswered_heartbeat_is_noticed(name: str) -> None:
    """The client gives the connection up, and comes back."""
    tale = Tale(name).comes().strike().wait(30).beats().wait(30)

    tale.add(Kind.CLIENT_CLOSED, code=1000).ends().comes("9")

    finding = tale.judged()
    assert finding.outcome is Outcome.PASSED
    assert "gave up 30.00 s after" in finding.reason


def test_unanswered_heartbeats_are_not_noticed() -> None:
    """A client that goes on and on has not noticed; nor has one that stays away."""
    tale = Tale("heartbeat/timeout").comes().strike()
    stubborn = tale.beats().wait(1).beats().wait(1).beats().wait(1).beats()
    patient = Tale("heartbeat/timeout").comes().strike().beats().wait(101)
    gone = Tale("heartbeat/timeout").comes().strike().beats().ends().wait(101)

    assert stubborn.judged().outcome is Outcome.FAILED
    assert patient.judged().outcome is Outcome.FAILED
    assert gone.judged().outcome is Outcome.FAILED


def test_it_comes_back() -> None:
    """A new connection and a join on it: reconnected, rejoined."""
    finding = lost("reconnect/drop").wait(0.5).comes("9").judged()

    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "connected after 0.50 s, joined again after 0.50 s"
    assert [entry.kind for entry in finding.evidence] == [Kind.STRUCK, Kind.OPENED, Kind.RECEIVED]


def test_it_does_not_come_back() -> None:
    """No connection, or no join on it: waiting first, failed when it is late or the end."""
    gone = lost("reconnect/drop").wait(1)
    idle = lost("reconnect/drop").wait(1).attempt().wait(1)

    assert gone.judged().outcome is Outcome.WAITING
    assert gone.judged(is_final=True).reason == "no new connection within 1.0 s"
    assert idle.judged().outcome is Outcome.WAITING
    assert "no join of the topic" in idle.judged(is_final=True).reason
    assert idle.wait(20).judged().outcome is Outcome.FAILED


@pytest.mark.parametrize("name", ["reconnect/backoff", "reconnect/restart"])
@pytest.mark.parametrize("waits_s", [PHOENIX_JS_WAITS_S, WITH_JITTER_S, (2.0,) * 6])
def test_it_backs_off(name: str, waits_s: Sequence[float]) -> None:
    """Waits that grow, with jitter too, or that are long from the beginning."""
    tale = refused(name, waits_s).wait(waits_s[-1]).comes("9")

    assert tale.judged().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("waits_s", "words"),
    [
        ((0.01,) * 6, "hammers: waited 0.01, 0.01"),
        ((2.0, 2.0, 1.0, 0.5, 0.2, 0.2), "waits shrink"),
    ],
)
def test_it_does_not_back_off(waits_s: Sequence[float], words: str) -> None:
    """Waits that stay short, or that shrink."""
    finding = refused("reconnect/backoff", waits_s).wait(0.2).comes("9").judged()

    assert finding.outcome is Outcome.FAILED
    assert words in finding.reason


def test_hammering_is_told_before_the_end() -> None:
    """A client that hammers has failed, even while it is not let in."""
    assert refused("reconnect/backoff", (0.01,) * 6).judged().outcome is Outcome.FAILED


def test_giving_up_is_no_backoff() -> None:
    """A client must come back after a 503."""
    assert refused("reconnect/backoff", (1.0,)).judged(is_final=True).outcome is Outcome.FAILED


def flapped(wait_s: float) -> Tale:
    """Eight connections that open and are closed at once, the ninth lasts."""
    tale = lost("reconnect/accept_then_close")
    for _time in range(8):
        tale.wait(wait_s).attempt().add(Kind.CLOSING, code=1011).joins().ends()
    return tale.wait(wait_s).comes("9")


def test_connections_that_do_not_last_count_as_failures() -> None:
    """Who starts anew at 10 ms after each hammers; who waits on does not."""
    assert flapped(0.01).judged().outcome is Outcome.FAILED
    assert flapped(1.0).judged().outcome is Outcome.PASSED


def test_a_refusal_is_respected() -> None:
    """After 403s a client may stop, or try on with waits; it may not hammer."""
    stopped = refused("reconnect/forbidden", (0.5,), 403)
    trying = refused("reconnect/forbidden", PHOENIX_JS_WAITS_S, 403).wait(0.5).comes("9")
    hammering = refused("reconnect/forbidden", (0.01,) * 5, 403)

    assert stopped.judged().outcome is Outcome.WAITING
    assert stopped.judged(is_final=True).reason == "stopped after 1 refusals"
    assert trying.judged().outcome is Outcome.PASSED
    assert hammering.judged().outcome is Outcome.FAILED


def test_pings() -> None:
    """A pong after the ping is right; none is wrong."""
    pinged = Tale("frames/ping").comes().strike().wait(0.1)

    assert pinged.judged().outcome is Outcome.WAITING
    assert pinged.judged(is_final=True).outcome is Outcome.FAILED
    assert pinged.add(Kind.PONG).judged().outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "name",
    [
        "join/well_formed", "heartbeat/sent", "heartbeat/timeout", "reconnect/drop",
        "reconnect/backoff", "reconnect/forbidden", "frames/ping",
    ],
)  # fmt: skip
def test_nothing_happened(name: str) -> None:
    """Without a join there is nothing to judge, not even at the end."""
    assert Tale(name).attempt().judged(is_final=True).outcome is Outcome.NOT_SEEN
