"""The client passes all scenarios of the fault server."""

from __future__ import annotations

from phoenix_compat.conformance.faults.fault_session import FaultSessions
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from tests.integration.client.fault_app import playing
from tests.interop.test_faults import ALL, fault_server, outcomes, settled

BINARY = "client/events/binary"

__all__ = ["fault_server"]


async def test_every_scenario_is_passed(fault_server: tuple[str, FaultSessions]) -> None:
    """It passes all of them, in either level."""
    base_url, fault_sessions = fault_server

    async with playing(base_url, "client"):
        report = await settled(fault_sessions, "client", ALL)

    failures = {
        verdict.scenario.id: verdict.finding.reason
        for verdict in report.verdicts
        if verdict.finding.outcome.value != "passed"
    }
    assert failures == {}
    assert outcomes(report) == dict.fromkeys(ALL, "passed")
    assert report.lost_entries == 0


async def test_every_scenario_in_v1(fault_server: tuple[str, FaultSessions]) -> None:
    """The same with V1, which has no binary messages."""
    base_url, fault_sessions = fault_server
    without = [one for one in SCENARIOS if one.id != BINARY]

    async with playing(base_url, "client", without, vsn="1.0.0"):
        report = await settled(fault_sessions, "client", ALL - {BINARY})

    assert outcomes(report) == {**dict.fromkeys(ALL, "passed"), BINARY: "not seen"}
