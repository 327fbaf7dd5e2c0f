"""Fault sessions are limited in number and size, and independent of each other."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.faults.fault_session import (
    MAX_SESSIONS,
    RESET,
    FaultSessions,
    TooManyError,
)
from phoenix_compat.conformance.faults.table import FAULTS


def test_lanes_are_bounded() -> None:
    """Beyond the limit, new sessions are refused with a remedy; existing ones still work."""
    fault_sessions = FaultSessions()
    for number in range(MAX_SESSIONS):
        fault_sessions.session("many", str(number))

    with pytest.raises(TooManyError, match="DELETE /control/record"):
        fault_sessions.session("one", "more")

    assert fault_sessions.session("many", "0").name == "0"
    fault_sessions.forget("many")
    assert fault_sessions.session("one", "more").client == "one"


def test_topics_are_bounded() -> None:
    """Beyond the limit, topics can be neither joined nor armed."""
    session, fault = FaultSessions().session(), FAULTS.from_text("crash")
    for number in range(1_000):
        session.arm(f"room:{number}", fault)
        session.count_join(f"room:{number}")

    with pytest.raises(TooManyError, match="1000 topics"):
        session.arm("room:more", fault)
    with pytest.raises(TooManyError, match="1000 topics"):
        session.count_join("room:more")
    assert session.count_join("room:0") == 2


def test_a_restart_lasts_as_long_as_it_says() -> None:
    """Connections are reset until the restart is over."""
    now_s = [0.0]
    session = FaultSessions(lambda: now_s[0]).session()

    session.strike(FAULTS.from_text("restart:2s"))
    now_s[0] = 1.9
    during = session.attempt()
    now_s[0] = 2.1
    after = session.attempt()

    assert [(one.number, one.refusal) for one in (during, after)] == [(1, RESET), (2, None)]


def test_arming_a_fault_again_replaces_it() -> None:
    """Arming a fault again replaces it; after disarming, nothing strikes."""
    session = FaultSessions().session()

    session.strike(FAULTS.from_text("refuse_upgrades:429:times=1"))
    session.strike(FAULTS.from_text("refuse_upgrades:503:times=2"))
    statuses = [session.attempt().refusal]
    session.disarm()
    statuses.append(session.attempt().refusal)

    assert statuses == [503, None]


def test_tokens_are_numbered_and_not_kept() -> None:
    """The record tells tokens apart by numbers; beyond the limit they have none."""
    session = FaultSessions().session()

    for token in ("secret", "other", "secret", ""):
        session.attempt(token)
    for number in range(1_000):
        session.attempt(f"more {number}")

    notes = [entry.note for entry in session.record.entries]
    assert notes[:4] == ["token 1", "token 2", "token 1", ""]
    assert notes[-1] == "another token"
    assert "token 1000" in notes
