"""Formats a report for programs: as JSON, and as JUnit XML."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

from phoenix_compat.conformance.report.summary import Outcome, Report, Verdict
from phoenix_compat.version import __version__

JSON_FORMAT = 2
"""Increased when readers of the JSON have to change."""

_SKIPPED = (Outcome.EXPECTED_FAILURE, Outcome.UNJUDGED)


def to_json(report: Report) -> str:
    """The report as JSON.

    `{"format": 2, "url", "profile", "began_at", "took_s", "time_factor", "timing", "is_good",
    "is_bad", "counts": {outcome: n},
    "cases": [{"id", "transport", "level", "title", "source", "recorded", "outcome", "took_s",
    "unjudged": why or null, "plays": n, "late_s", "answer_s",
    "reasons": [text], "error", "steps": [{"action", "wanted", "got", "is_right"}],
    "log": [{"at_s", "conn", "way", "shown"}], "reproduce"}]}`
    """
    document = {
        "format": JSON_FORMAT,
        "made_by": f"phoenix-compat {__version__}",
        "url": report.url,
        "profile": report.profile,
        "began_at": report.began_at.isoformat(timespec="seconds"),
        "took_s": round(report.took_s, 3),
        "time_factor": report.time_factor,
        "timing": report.timing,
        "is_good": report.is_good,
        "is_bad": report.is_bad,
        "counts": {str(outcome): count for outcome, count in report.counts.items()},
        "cases": [_case(report, verdict) for verdict in report.verdicts],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _case(report: Report, verdict: Verdict) -> dict[str, Any]:
    case, result = verdict.case, verdict.result
    return {
        "id": case.id,
        "transport": case.transport,
        "level": case.level,
        "title": case.title,
        "source": case.source,
        "recorded": case.recorded_as is not None,
        "outcome": str(verdict.outcome),
        "took_s": round(result.took_s, 3),
        "unjudged": result.unjudged,
        "plays": result.plays,
        "late_s": round(result.conditions.late_s, 3),
        "answer_s": round(result.conditions.answer_s, 3),
        "reasons": result.reasons,
        "error": result.error,
        "steps": [
            {
                "action": str(step.action),
                "wanted": step.wanted,
                "got": step.got,
                "is_right": step.is_right,
            }
            for step in result.steps
        ],
        "log": [
            {"at_s": round(line.at_s, 4), "conn": line.conn, "way": line.way, "shown": line.shown}
            for line in result.log
        ],
        "reproduce": report.reproduce(case),
    }


def to_junit(report: Report) -> str:
    """The report as JUnit XML: a suite for each transport, a test for each case.

    An expected failure counts as skipped, an unexpected pass as a failure. A case that could not be
    judged counts as skipped, with the reason: CI must not accuse the server of it.
    """
    root = ET.Element("testsuites", name="phoenix conformance", time=f"{report.took_s:.3f}")
    for transport in dict.fromkeys(verdict.case.transport for verdict in report.verdicts):
        verdicts = [v for v in report.verdicts if v.case.transport == transport]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"phoenix {report.profile} over {transport}",
            timestamp=report.began_at.isoformat(timespec="seconds"),
            tests=str(len(verdicts)),
            failures=str(sum(verdict.outcome.is_bad for verdict in verdicts)),
            skipped=str(sum(v.outcome in _SKIPPED for v in verdicts)),
            time=f"{sum(verdict.result.took_s for verdict in verdicts):.3f}",
        )
        for verdict in verdicts:
            _add_test(suite, report, verdict)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_test(suite: ET.Element, report: Report, verdict: Verdict) -> None:
    case, result = verdict.case, verdict.result
    test = ET.SubElement(
        suite,
        "testcase",
        classname=f"{case.transport}.{case.id.partition('/')[0]}",
        name=case.id,
        time=f"{result.took_s:.3f}",
    )
    if verdict.outcome is Outcome.EXPECTED_FAILURE:
        ET.SubElement(test, "skipped", message=_clean("; ".join(result.reasons)))
    elif verdict.outcome is Outcome.UNJUDGED:
        message = _clean(f"could not be judged: {result.unjudged}")
        ET.SubElement(test, "skipped", message=message).text = _clean(f"{result.explain()}\n")
    elif verdict.outcome is Outcome.UNEXPECTED_PASS:
        message = "passed, but is listed as an expected failure: remove it from the list"
        ET.SubElement(test, "failure", message=message)
    elif verdict.outcome is Outcome.FAILED:
        failure = ET.SubElement(test, "failure", message=_clean("; ".join(result.reasons)))
        failure.text = _clean(f"{result.explain()}\n\n{report.reproduce(case)}\n")


def _clean(text: str) -> str:
    """Replace the control characters that XML 1.0 forbids, even escaped."""
    return "".join(
        char if char >= " " or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
