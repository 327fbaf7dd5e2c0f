"""Judges a client by the records of its sessions, and writes the verdicts as JSON or HTML."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phoenix_compat.conformance.faults.fault_session import FaultSession
from phoenix_compat.conformance.faults.record import Entry, EntryKind
from phoenix_compat.conformance.faults.record_view import Finding, Outcome, RecordView, not_seen
from phoenix_compat.conformance.faults.scenario import Level, Scenario
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.protocol.message import PHX_JOIN

_WORST_FIRST: Final = (Outcome.FAILED, Outcome.WAITING, Outcome.PASSED, Outcome.NOT_SEEN)
_MAX_PAGE_ENTRIES: Final = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one scenario.

    Attributes:
        session: the name of the session in which it was played; empty if it was not.
    """

    scenario: Scenario
    finding: Finding
    session: str = ""

    def to_json(self) -> Mapping[str, Any]:
        """The verdict as a JSON object, with its evidence."""
        scenario = self.scenario
        return {
            "id": scenario.id,
            "level": scenario.level.value,
            "outcome": self.finding.outcome.value,
            "reason": self.finding.reason,
            "topic": scenario.topic,
            "lane": self.session,
            "wants": scenario.wants,
            "why": scenario.why,
            "phoenix_js": scenario.phoenix_js,
            "evidence": [entry.to_json() for entry in self.finding.evidence],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All verdicts on one client.

    Attributes:
        lost_entries: how many entries its full records dropped; if any, verdicts may be wrong.
    """

    client: str
    verdicts: tuple[Verdict, ...]
    sessions: tuple[FaultSession, ...]
    lost_entries: int = 0

    @property
    def is_conformant(self) -> bool:
        """Whether no MUST failed."""
        return not any(
            verdict.finding.outcome is Outcome.FAILED and verdict.scenario.level is Level.MUST
            for verdict in self.verdicts
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of verdicts with each outcome."""
        found = Counter(verdict.finding.outcome.value for verdict in self.verdicts)
        return {outcome.value: found[outcome.value] for outcome in Outcome}

    def to_json(self) -> Mapping[str, Any]:
        """The report as a JSON object."""
        return {
            "client": self.client,
            "is_conformant": self.is_conformant,
            "counts": self.counts,
            "lost_entries": self.lost_entries,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    def to_html(self) -> str:
        """The report as one self-contained HTML page."""
        return _page(self)


def judge_client(
    client: str, sessions: Sequence[FaultSession], *, is_final: bool = False
) -> Report:
    """Judge every scenario by all sessions of a client.

    Args:
        is_final: whether the client is done, so that whatever is still missing has failed.
    """
    verdicts = tuple(
        judge_scenario(scenario, sessions, is_final=is_final) for scenario in SCENARIOS
    )
    lost = sum(session.record.lost for session in sessions)
    return Report(client, verdicts, tuple(sessions), lost)


def judge_scenario(
    scenario: Scenario, sessions: Sequence[FaultSession], *, is_final: bool = False
) -> Verdict:
    """Judge one scenario; if several sessions played it, the worst verdict counts."""
    found = [
        Verdict(scenario, scenario.rule(_view(scenario, session, is_final=is_final)), session.name)
        for session in sessions
        if _was_played(scenario, session)
    ]
    if not found:
        return Verdict(scenario, not_seen("its topic was not joined"))
    return min(found, key=lambda verdict: _WORST_FIRST.index(verdict.finding.outcome))


def _view(scenario: Scenario, session: FaultSession, *, is_final: bool) -> RecordView:
    record = session.record
    return RecordView(
        scenario.topic, tuple(record.entries), record.now_s, is_final, scenario.timeout_s
    )


def _was_played(scenario: Scenario, session: FaultSession) -> bool:
    return any(
        entry.kind is EntryKind.RECEIVED
        and entry.event == PHX_JOIN
        and entry.topic == scenario.topic
        for entry in session.record.entries
    )


# The page.

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;
color:#1b1b1f;background:#fff}h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;
background:#f5f5f7;padding:.6rem;border-radius:6px}.passed{color:#0a6b2d}.failed{color:#b00020;
font-weight:600}.waiting{color:#8a5a00}.not-seen{color:#666}summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{color:#e6e6ea;background:#17171a}pre{background:#222228}
td,th{border-color:#3a3a42}.passed{color:#58d68d}.failed{color:#ff6b81}.waiting{color:#f0b84a}
.not-seen{color:#a0a0a8}}
"""


def _page(report: Report) -> str:
    title = f"Phoenix client under faults: {html.escape(report.client)}"
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report.counts.items())
    verdict = "No MUST failed." if report.is_conformant else "At least one MUST failed."
    lost = ""
    if report.lost_entries:
        lost = f"<p>The records are incomplete: {report.lost_entries} entries were dropped.</p>"
    rows = "".join(_row(verdict) for verdict in report.verdicts)
    logs = "".join(_log(session) for session in report.sessions)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{verdict} {counts}.</p>{lost}"
        f"<table><thead><tr><th>Scenario</th><th>Level</th><th>Outcome</th><th>Found</th></tr>"
        f"</thead><tbody>{rows}</tbody></table><h2>What was recorded</h2>{logs}</body></html>\n"
    )


def _row(verdict: Verdict) -> str:
    scenario, finding = verdict.scenario, verdict.finding
    outcome = finding.outcome.value
    evidence = "\n".join(html.escape(str(entry)) for entry in finding.evidence)
    more = (
        f"<p>Wanted: {html.escape(scenario.wants)}</p><p>Why: {html.escape(scenario.why)}</p>"
        f"<p>phoenix.js: {html.escape(scenario.phoenix_js)}</p>"
        f"<p>Topic: <code>{html.escape(scenario.topic)}</code></p><pre>{evidence}</pre>"
    )
    return (
        f"<tr><td><code>{html.escape(scenario.id)}</code></td><td>{scenario.level}</td>"
        f'<td class="{outcome.replace(" ", "-")}">{outcome}</td>'
        f"<td><details><summary>{html.escape(finding.reason)}</summary>{more}</details></td></tr>"
    )


def _log(session: FaultSession) -> str:
    entries: list[Entry] = session.record.entries
    lines = "\n".join(html.escape(str(entry)) for entry in entries[:_MAX_PAGE_ENTRIES])
    left_out = len(entries) + session.record.lost - _MAX_PAGE_ENTRIES
    more = f"\n… and {left_out} more" if left_out > 0 else ""
    return (
        f"<details><summary>session <code>{html.escape(session.name)}</code>: "
        f"{len(entries)} entries</summary><pre>{lines}{more}</pre></details>"
    )
