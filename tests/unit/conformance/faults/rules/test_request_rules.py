"""Rules about requests wait as long as they must; tests/integration/conformance judges clients."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.faults.app import other_topic
from phoenix_compat.conformance.faults.record import EntryKind
from phoenix_compat.conformance.faults.record_view import Outcome
from tests.unit.conformance.faults.record_builder import RecordBuilder

REQUESTS = (
    "heartbeat/background",
    "join/once",
    "leave/stays_left",
    "leave/while_joining",
    "push/expired",
    "rejoin/quick",
)


def struck(name: str) -> RecordBuilder:
    """A client that joined before the fault struck."""
    return RecordBuilder(name).connects_and_joins().wait(0.1).strike()


def reconnected(name: str) -> RecordBuilder:
    """A client that did what it was asked to, lost its connection and is joined again."""
    return struck(name).heard(done="it").ends().wait(0.1).connects_and_joins("9")


@pytest.mark.parametrize("name", REQUESTS)
def test_nothing_was_done_yet(name: str) -> None:
    """A request that was just sent is too early to judge."""
    assert struck(name).finding().outcome is Outcome.WAITING


@pytest.mark.parametrize("name", ["heartbeat/background", "leave/stays_left", "push/expired"])
def test_what_may_still_come(name: str) -> None:
    """A client that was right so far has passed only after a while, in which nothing more came."""
    record = reconnected(name).heard(expired=True).wait(1)
    early = record.finding()

    assert early.outcome is Outcome.WAITING
    assert record.wait(1).finding().outcome is Outcome.PASSED


def test_a_rejoin_on_the_same_connection() -> None:
    """A topic that was left is joined again by a timer: failed, without a lost connection."""
    record = struck("leave/stays_left").heard(done="it")
    other = other_topic(record.scenario.topic)

    record.sends("phx_join", topic=other).wait(1).sends("phx_join", topic=other)

    assert record.finding().reason == "joined 1.00 s after the first join"


def test_a_connection_that_was_given_up() -> None:
    """A second connection after the first one ended is not a second one at once."""
    record = reconnected("heartbeat/background").ends().connects_and_joins("12").heard(done="it")

    assert record.wait(2).finding().outcome is Outcome.PASSED


def test_two_joins_on_two_connections() -> None:
    """A join that is made again on another connection is right."""
    record = struck("join/once").heard(done="it").ends()
    other = other_topic(record.scenario.topic)

    record.connects_and_joins("9").sends("phx_join", topic=other).ends()
    record.connects_and_joins("12").sends("phx_join", topic=other)

    assert record.wait(1).finding().outcome is Outcome.PASSED


@pytest.mark.parametrize(("silent_s", "outcome"), [(1.0, Outcome.PASSED), (0.01, Outcome.NOT_SEEN)])
def test_an_app_whose_report_was_lost(silent_s: float, outcome: Outcome) -> None:
    """An app that did not answer the close frame at once was suspended."""
    record = struck("heartbeat/background").wait(1).add(EntryKind.CLOSING, code=1002)

    record.wait(silent_s).ends().connects_and_joins("9").wait(2)

    assert record.finding(is_final=True).outcome is outcome
