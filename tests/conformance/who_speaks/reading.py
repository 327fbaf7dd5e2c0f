"""Turns the reports of `conformance run --json` and `conformance report --json` into records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from phoenix_compat.conformance.suite.catalog import load_suite
from phoenix_compat.version import __version__
from tests.conformance.who_speaks.record import (
    MAX_REASON_LENGTH,
    Finding,
    Record,
    RecordError,
    Subject,
)

_PASSED: Final = {"passed", "passed unexpectedly"}
_FAILED: Final = {"failed", "failed as expected"}
_NOT_JUDGED: Final = {"could not be judged", "not seen"}


def server_record(report: Mapping[str, Any], subject: Subject) -> Record:
    """The record of a run of the suite.

    Cases of the same profile that the report leaves out are recorded as not played.

    Raises:
        RecordError: it is not the JSON of `conformance run`.
    """
    try:
        cases, profile = report["cases"], report["profile"]
        date = report["began_at"].partition("T")[0]
        made_by = report["made_by"]
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"this is not a report of `conformance run --json`: {error!r} is missing"
        ) from error
    played = {(case["transport"], case["id"]) for case in cases}
    left_out = [
        (case.transport, case.id)
        for case in load_suite(profile)
        if (case.transport, case.id) not in played
    ]
    return Record(
        subject=subject,
        made_by=made_by,
        profile=profile,
        date=date,
        passed=_by_transport((case["transport"], case["id"]) for case in _with(cases, _PASSED)),
        failed=tuple(map(_finding, _with(cases, _FAILED))),
        not_judged=tuple(map(_finding, _with(cases, _NOT_JUDGED))),
        not_played=_by_transport(left_out),
    )


def client_record(report: Mapping[str, Any], subject: Subject, date: str) -> Record:
    """The record of a final report of the fault server.

    A scenario that its app could not play is recorded as not judged.

    Args:
        date: of the run, as YYYY-MM-DD; the report has none.

    Raises:
        RecordError: it is not the JSON of `conformance report --final`, or entries were lost.
    """
    try:
        verdicts = [{**one, "transport": "websocket"} for one in report["verdicts"]]
        lost = report["lost_entries"]
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"this is not a report of `conformance report --json`: {error!r} is missing"
        ) from error
    if lost:
        raise RecordError(f"{lost} entries were lost, so verdicts may be wrong: run it again")
    if any(one["outcome"] == "waiting" for one in verdicts):
        raise RecordError("scenarios are still waiting: report with --final when the app is done")
    return Record(
        subject=subject,
        made_by=f"phoenix-compat {__version__}",
        profile="",
        date=date,
        passed=_by_transport((one["transport"], one["id"]) for one in _with(verdicts, _PASSED)),
        failed=tuple(map(_scenario, _with(verdicts, _FAILED))),
        not_judged=tuple(map(_scenario, _with(verdicts, _NOT_JUDGED))),
    )


def _with(cases: Iterable[Mapping[str, Any]], outcomes: Collection[str]) -> list[Mapping[str, Any]]:
    known = _PASSED | _FAILED | _NOT_JUDGED
    found = []
    for case in cases:
        if case["outcome"] not in known:
            raise RecordError(f"{case['id']}: the outcome {case['outcome']!r} is not known here")
        if case["outcome"] in outcomes:
            found.append(case)
    return found


def _finding(case: Mapping[str, Any]) -> Finding:
    reasons = [case.get("unjudged"), *case["reasons"], "no reason was recorded"]
    return Finding(
        case["id"],
        case["transport"],
        case["level"],
        case["title"],
        one_line(next(filter(None, reasons))),
    )


def _scenario(verdict: Mapping[str, Any]) -> Finding:
    return Finding(
        verdict["id"],
        verdict["transport"],
        verdict["level"],
        verdict["wants"],
        one_line(verdict["reason"]),
    )


def one_line(reason: str) -> str:
    """The reason in one line of at most `MAX_REASON_LENGTH` characters."""
    line = " ".join(reason.split())
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[: MAX_REASON_LENGTH - 1]}…"


def _by_transport(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for transport, id_ in pairs:
        found[transport].append(id_)
    return {transport: tuple(ids) for transport, ids in found.items()}
