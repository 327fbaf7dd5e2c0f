"""The verdicts over a client: computed from its lanes, and written as text, JSON or a page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phoenix_compat.conformance.faults.fault_session import FaultSession
from phoenix_compat.conformance.faults.record import Entry, Kind
from phoenix_compat.conformance.faults.record_view import Finding, Outcome, RecordView, not_seen
from phoenix_compat.conformance.faults.scenarios import SCENARIOS, Level, Scenario
from phoenix_compat.protocol.message import PHX_JOIN

_WORST_FIRST: Final = (Outcome.FAILED, Outcome.WAITING, Outcome.PASSED, Outcome.NOT_SEEN)
_MAX_PAGE_ENTRIES: Final = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found for one scenario.

    Attributes:
        lane: where it was played; empty when it was not.
    """

    scenario: Scenario
    finding: Finding
    lane: str = ""

    def to_json(self) -> Mapping[str, Any]:
        """The verdict with everything that explains it."""
        scenario = self.scenario
        return {
            "id": scenario.id,
            "level": scenario.level.value,
            "outcome": self.finding.outcome.value,
            "reason": self.finding.reason,
            "topic": scenario.topic,
            "lane": self.lane,
            "wants": scenario.wants,
            "why": scenario.why,
            "phoenix_js": scenario.phoenix_js,
            "evidence": [entry.to_json() for entry in self.finding.evidence],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All verdicts over one client.

    Attributes:
        lost_entries: how many lines of its records could not be kept; then verdicts may be wrong.
    """

    client: str
    verdicts: tuple[Verdict, ...]
    lanes: tuple[FaultSession, ...]
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
        """How many verdicts there are of each outcome."""
        found = Counter(verdict.finding.outcome.value for verdict in self.verdicts)
        return {outcome.value: found[outcome.value] for outcome in Outcome}

    def to_json(self) -> Mapping[str, Any]:
        """The report as one object."""
        return {
            "client": self.client,
            "is_conformant": self.is_conformant,
            "counts": self.counts,
            "lost_entries": self.lost_entries,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    def to_html(self) -> str:
        """The report as one page that needs no other file."""
        return _page(self)


def judge_client(client: str, lanes: Sequence[FaultSession], *, is_final: bool = False) -> Report:
    """Judge every scenario over all lanes of a client.

    Args:
        is_final: the client is done: what is still awaited counts as failed.
    """
    verdicts = tuple(judge_scenario(scenario, lanes, is_final=is_final) for scenario in SCENARIOS)
    lost = sum(lane.record.lost for lane in lanes)
    return Report(client, verdicts, tuple(lanes), lost)


def judge_scenario(
    scenario: Scenario, lanes: Sequence[FaultSession], *, is_final: bool = False
) -> Verdict:
    """Judge one scenario; of several lanes in which it was played the worst counts."""
    found = [
        Verdict(scenario, scenario.rule(_view(scenario, lane, is_final=is_final)), lane.name)
        for lane in lanes
        if _was_played(scenario, lane)
    ]
    if not found:
        return Verdict(scenario, not_seen("its topic was not joined"))
    return min(found, key=lambda verdict: _WORST_FIRST.index(verdict.finding.outcome))


def _view(scenario: Scenario, lane: FaultSession, *, is_final: bool) -> RecordView:
    record = lane.record
    return RecordView(
        scenario.topic, tuple(record.entries), record.now_s, is_final, scenario.patience_s
    )


def _was_played(scenario: Scenario, lane: FaultSession) -> bool:
    return any(
        entry.kind is Kind.RECEIVED and entry.event == PHX_JOIN and entry.topic == scenario.topic
        for entry in lane.record.entries
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
        lost = f"<p>The records are incomplete: {report.lost_entries} entries were not kept.</p>"
    rows = "".join(_row(verdict) for verdict in report.verdicts)
    logs = "".join(_log(lane) for lane in report.lanes)
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


def _log(lane: FaultSession) -> str:
    entries: list[Entry] = lane.record.entries
    lines = "\n".join(html.escape(str(entry)) for entry in entries[:_MAX_PAGE_ENTRIES])
    left_out = len(entries) + lane.record.lost - _MAX_PAGE_ENTRIES
    more = f"\n… and {left_out} more" if left_out > 0 else ""
    return (
        f"<details><summary>lane <code>{html.escape(lane.name)}</code>: {len(entries)} entries"
        f"</summary><pre>{lines}{more}</pre></details>"
    )
