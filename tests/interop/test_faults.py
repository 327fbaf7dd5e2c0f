"""Runs npm `phoenix` and a PyPI client against the fault server, and compares their verdicts.

All scenarios of a client run at once. The tables below hold the known failures. If a newer client
behaves differently, its test fails: then change the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

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
ALONE_TIMEOUT_S = 4.0
MAX_ALONE = 9
"""So many scenarios are played alone: together with the first run they fit into a test's time."""

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


def assert_reasons(
    reports: Iterable[Report], wrong: Mapping[str, str], found: Mapping[str, str]
) -> None:
    """Check that each failure that counts has the known reason.

    Args:
        found: the outcomes that count, of all reports together.
    """
    for verdict in (verdict for report in reports for verdict in report.verdicts):
        name = verdict.scenario.id
        if verdict.finding.outcome == "failed" and found[name] == "failed":
            assert wrong[name] in verdict.finding.reason


async def _with_others_alone(
    report: Report, known: Mapping[str, str], play_alone: Callable[[str, str], Awaitable[Report]]
) -> tuple[dict[str, str], list[Report]]:
    """The outcomes, after playing alone those that are not as known, each three times at most.

    Over forty scenarios at once on a busy machine are more than a client's own time limits allow:
    its joins time out, or it is too slow to hammer. A client that has changed differs alone too.
    """
    found, reports = outcomes(report), [report]
    for _ in range(3):
        for name in [name for name in found if found[name] != known[name]]:
            if len(reports) > MAX_ALONE:
                return found, reports
            reports.append(await play_alone(name, f"{report.client}-{len(reports)}"))
            found[name] = outcomes(reports[-1])[name]
    return found, reports


@pytest.mark.node
async def test_phoenix_js(fault_server: tuple[str, FaultSessions], run: Run) -> None:
    """phoenix.js passes everything, except that it resets its backoff whenever it connects."""
    base_url, fault_sessions = fault_server
    script = await run("faults.mjs", base_url, "phoenix.js")
    assert await script.next() == ["playing", len(SCENARIOS)]

    report = await settled(fault_sessions, "phoenix.js", ALL)
    await script.stop()

    async def alone(name: str, client: str) -> Report:
        script = await run("faults.mjs", base_url, client, str(HERE), "phoenix", name)
        report = await settled(fault_sessions, client, {name}, ALONE_TIMEOUT_S)
        await script.stop()
        return report

    found, reports = await _with_others_alone(report, expected(JS_WRONG), alone)
    assert found == expected(JS_WRONG)
    assert_reasons(reports, JS_WRONG, found)


async def test_phoenix_channels_python_client(fault_server: tuple[str, FaultSessions]) -> None:
    """It reconnects well, but drops broadcasts and does not check for heartbeat replies."""
    base_url, fault_sessions = fault_server
    silent = {name for name, reason in PYTHON_WRONG.items() if reason.startswith("no ")}
    silent.update(("client/reconnect/forbidden", "client/reconnect/fresh_token"))  # it stops

    async with playing(base_url, "python", without=[HALF_OPEN]):
        report = await settled(fault_sessions, "python", ALL - PYTHON_NOT_SEEN - silent)

    async def alone(name: str, client: str) -> Report:
        async with playing(base_url, client, only=[name]):
            return await settled(fault_sessions, client, {name}, ALONE_TIMEOUT_S)

    known = expected(PYTHON_WRONG, PYTHON_NOT_SEEN)
    found, reports = await _with_others_alone(report, known, alone)
    assert found == known
    assert_reasons(reports, PYTHON_WRONG, found)
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
