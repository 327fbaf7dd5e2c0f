"""Lanes: each bounded, each on its own."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.faults.fault_session import (
    MAX_LANES,
    RESET,
    FaultSessions,
    TooManyError,
)
from phoenix_compat.conformance.faults.table import FAULTS


def test_lanes_are_bounded() -> None:
    """One lane too many is refused with the way out; those that are there can still be had."""
    fault_sessions = FaultSessions()
    for number in range(MAX_LANES):
        fault_sessions.lane("many", str(number))

    with pytest.raises(TooManyError, match="DELETE /control/record"):
        fault_sessions.lane("one", "more")

    assert fault_sessions.lane("many", "0").name == "0"
    fault_sessions.forget("many")
    assert fault_sessions.lane("one", "more").client == "one"


def test_topics_are_bounded() -> None:
    """One topic too many is refused, whether it is joined or armed."""
    lane, fault = FaultSessions().lane(), FAULTS.from_text("crash")
    for number in range(1_000):
        lane.arm(f"room:{number}", fault)
        lane.count_join(f"room:{number}")

    with pytest.raises(TooManyError, match="1000 topics"):
        lane.arm("room:more", fault)
    with pytest.raises(TooManyError, match="1000 topics"):
        lane.count_join("room:more")
    assert lane.count_join("room:0") == 2


def test_a_restart_lasts_as_long_as_it_says() -> None:
    """Connections are reset until the time is over."""
    now_s = [0.0]
    lane = FaultSessions(lambda: now_s[0]).lane()

    lane.strike(FAULTS.from_text("restart:2s"))
    now_s[0] = 1.9
    during = lane.attempt()
    now_s[0] = 2.1
    after = lane.attempt()

    assert (during, after) == ((1, RESET), (2, None))


def test_a_fault_counts_as_often_as_it_is_armed() -> None:
    """Arming a fault again lets it strike again; disarming spares the next."""
    lane = FaultSessions().lane()

    lane.strike(FAULTS.from_text("refuse_upgrades:429:times=1"))
    lane.strike(FAULTS.from_text("refuse_upgrades:503:times=2"))
    statuses = [lane.attempt()[1]]
    lane.disarm()
    statuses.append(lane.attempt()[1])

    assert statuses == [503, None]
