"""Runs npm `phoenix` and a PyPI client against the fault server, and compares their verdicts.

All scenarios of a client run at once. The tables below hold the known failures. If a newer client
behaves differently, its test fails: then change the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping

import pytest
from aiohttp import web

from phoenix_compat.conformance.faults.app import action_of
from phoenix_compat.conformance.faults.fault_session import FaultSessions
from phoenix_compat.conformance.faults.report import Report, judge_client
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.faults.table import FAULTS
from tests.interop.python_faults import playing
from tests.interop.test_phoenix_js import HERE, Run, node, run
from tests.patience import patient
from tests.serving import serving

__all__ = ["node", "run"]  # fixtures

TIMEOUT_S = 20.0
ALL = {scenario.id for scenario in SCENARIOS}

JS_WRONG = {
    "client/reconnect/accept_then_close": "hammers",
    "client/reconnect/storm": "hammers",
}

HALF_OPEN = "client/heartbeat/half_open"
"""Only the pings of its websocket library would detect this, after 40 s: too long for a test."""

PYTHON_WRONG = {
    "client/heartbeat/timeout": "unanswered heartbeats",  # without heartbeat_dead_threshold_s
    "client/rejoin/refused": "no new join",  # its app must subscribe again
    "client/rejoin/join_timeout": "no new join",  # the same
    "client/events/broadcast": "no report from the app",  # it drops messages without a join_ref
    "client/events/binary": "closed the connection with 1000",  # and again after each reconnect
}
PYTHON_NOT_SEEN = {
    HALF_OPEN,
    *(scenario.id for scenario in SCENARIOS if action_of(FAULTS.from_topic(scenario.topic))),
    # It cannot push, and does not support presence.
    "client/rejoin/crash_in_push",
    "client/push/late_reply",
    "client/push/timeout",
    "client/push/reply_once",
    "client/push/buffered",
    "client/presence/merged",
    "client/presence/renewed",
}


@pytest.fixture
async def fault_server() -> AsyncIterator[tuple[str, FaultSessions]]:
    """The base URL of a fault server, and its sessions."""
    app = web.Application()
    fault_sessions = add_fault_server(app)
    async with serving(app) as base_url:
        yield base_url, fault_sessions


async def settled(
    fault_sessions: FaultSessions, client: str, awaited: set[str], timeout_s: float = TIMEOUT_S
) -> Report:
    """Wait until all awaited scenarios have a verdict, or the timeout; return the final report."""
    deadline_s = asyncio.get_running_loop().time() + patient(timeout_s)
    while asyncio.get_running_loop().time() < deadline_s:
        report = judge_client(client, fault_sessions.sessions_of(client))
        open_ids = {
            verdict.scenario.id
            for verdict in report.verdicts
            if verdict.finding.outcome.value in {"waiting", "not seen"}
        }
        if not open_ids & awaited:
            break
        await asyncio.sleep(0.1)
    return judge_client(client, fault_sessions.sessions_of(client), is_final=True)


def outcomes(report: Report) -> dict[str, str]:
    """The outcome of each scenario."""
    return {verdict.scenario.id: verdict.finding.outcome.value for verdict in report.verdicts}


def expected(wrong: Iterable[str], not_seen: Iterable[str] = ()) -> dict[str, str]:
    """The outcomes of a client that passes every other scenario."""
    return (
        dict.fromkeys(ALL, "passed")
        | dict.fromkeys(wrong, "failed")
        | dict.fromkeys(not_seen, "not seen")
    )


def assert_reasons(report: Report, wrong: Mapping[str, str]) -> None:
    """Check that each failure has the known reason."""
    for verdict in report.verdicts:
        if verdict.scenario.id in wrong and verdict.finding.outcome == "failed":
            assert wrong[verdict.scenario.id] in verdict.finding.reason


async def _played_alone(run: Run, fault_server: tuple[str, FaultSessions], name: str) -> Report:
    """The report on one scenario, played alone until phoenix.js fails, three times at most."""
    base_url, fault_sessions = fault_server
    reports: list[Report] = []
    while not reports or (len(reports) < 3 and outcomes(reports[-1])[name] != "failed"):
        client = f"alone-{len(reports)}"
        script = await run("faults.mjs", base_url, client, str(HERE), "phoenix", name)
        reports.append(await settled(fault_sessions, client, {name}))
        await script.stop()
    return reports[-1]


@pytest.mark.node
async def test_phoenix_js(fault_server: tuple[str, FaultSessions], run: Run) -> None:
    """phoenix.js passes everything, except that it resets its backoff whenever it connects."""
    base_url, fault_sessions = fault_server
    script = await run("faults.mjs", base_url, "phoenix.js")
    assert await script.next() == ["playing", len(SCENARIOS)]

    report = await settled(fault_sessions, "phoenix.js", ALL)
    await script.stop()
    found = outcomes(report)
    for name in JS_WRONG:
        if found[name] == "passed":  # on a busy machine it was too slow to hammer: play it alone
            report_alone = await _played_alone(run, fault_server, name)
            found[name] = outcomes(report_alone)[name]

    assert found == expected(JS_WRONG)
    assert_reasons(report, JS_WRONG)
    assert report.is_conformant  # the failures are SHOULDs


async def test_phoenix_channels_python_client(fault_server: tuple[str, FaultSessions]) -> None:
    """It reconnects well, but drops broadcasts and does not check for heartbeat replies."""
    base_url, fault_sessions = fault_server
    silent = {name for name, reason in PYTHON_WRONG.items() if reason.startswith("no ")}
    silent.update(("client/reconnect/forbidden", "client/reconnect/fresh_token"))  # it stops

    async with playing(base_url, "python", without=[HALF_OPEN]):
        report = await settled(fault_sessions, "python", ALL - PYTHON_NOT_SEEN - silent)

    assert outcomes(report) == expected(PYTHON_WRONG, PYTHON_NOT_SEEN)
    assert_reasons(report, PYTHON_WRONG)
    assert not report.is_conformant


async def test_phoenix_channels_python_client_with_heartbeat_check(
    fault_server: tuple[str, FaultSessions],
) -> None:
    """With `heartbeat_dead_threshold_s` it detects unanswered heartbeats."""
    base_url, fault_sessions = fault_server
    name = "client/heartbeat/timeout"

    async with playing(base_url, "python", only=[name], heartbeat_dead_threshold_s=0.9):
        report = await settled(fault_sessions, "python", {name})

    assert outcomes(report)[name] == "passed"
