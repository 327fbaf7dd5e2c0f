"""Formats a report as one self-contained HTML page: a matrix, then each case with its frames."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from html import escape
from importlib import resources

from phoenix_compat.conformance.report.summary import WORST_FIRST, Outcome, Report, Verdict
from phoenix_compat.conformance.suite.conversation import LogLine
from phoenix_compat.conformance.suite.reasons import describe_frame, describe_received
from phoenix_compat.conformance.suite.runner import CaseResult, StepResult
from phoenix_compat.version import __version__

_CLASSES = {
    Outcome.PASSED: "good",
    Outcome.FAILED: "bad",
    Outcome.EXPECTED_FAILURE: "known",
    Outcome.UNEXPECTED_PASS: "odd",
    Outcome.UNJUDGED: "open",
}
_WORDS = {
    Outcome.PASSED: "pass",
    Outcome.FAILED: "fail",
    Outcome.EXPECTED_FAILURE: "known",
    Outcome.UNEXPECTED_PASS: "passes",
    Outcome.UNJUDGED: "not judged",
}


def to_page(report: Report) -> str:
    """The report as HTML, with a light and a dark theme, without scripts or external files."""
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    title = f"Phoenix {report.profile} conformance of {report.url}"
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>\n{css}</style></head><body>",
        *_head(report),
        *_matrix(report),
        *_details(report),
        f"<footer>Made by phoenix-compat {__version__}.</footer></body></html>\n",
    ]
    return "\n".join(parts)


def _head(report: Report) -> Iterator[str]:
    total = len(report.verdicts)
    when = report.began_at.strftime("%Y-%m-%d %H:%M %Z")
    yield '<header class="head"><h1>Phoenix Channels conformance</h1>'
    yield (
        f'<p><code>{escape(report.url)}</code> <span class="soft">compared with Phoenix '
        f"{escape(report.profile)} · {when} · {report.took_s:.1f} s</span></p>"
    )
    yield '<div class="sum">'
    yield _tile(total, "played", "")
    for outcome, count in report.counts.items():
        if count or outcome in {Outcome.PASSED, Outcome.FAILED}:
            yield _tile(count, str(outcome), _CLASSES[outcome] if count else "soft")
    yield '</div><div class="meter" aria-hidden="true">'
    for outcome, count in report.counts.items():
        if count:
            yield f'<i class="{_CLASSES[outcome]}" style="flex:{count}"></i>'
    yield "</div></header>"


def _tile(count: int, name: str, css: str) -> str:
    return f'<div class="tile"><b class="{css}">{count}</b>{escape(name)}</div>'


def _matrix(report: Report) -> Iterator[str]:
    transports = list(dict.fromkeys(verdict.case.transport for verdict in report.verdicts))
    rows: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for verdict in report.verdicts:
        rows[verdict.case.id][verdict.case.transport] = verdict
    heads = "".join(f'<th class="mark">{transport}</th>' for transport in transports)
    pick = '<label class="pick"><input type="checkbox" id="only"> only what differs</label>'
    yield f"<h2>{pick}The matrix</h2>"
    blanks = '<th class="what"></th><th class="level"></th>'
    yield f'<table class="matrix"><thead><tr><th>case</th>{blanks}{heads}</tr></thead>'
    area = ""
    for id_, cells in sorted(rows.items(), key=lambda row: row[0].partition("/")[0]):
        if (here := id_.partition("/")[0]) != area:
            area = here
            yield _area_row(area, rows, transports)
        yield _row(id_, cells, transports)
    yield "</table>"


def _area_row(area: str, rows: dict[str, dict[str, Verdict]], transports: Iterable[str]) -> str:
    cells = ""
    fine = True
    for transport in transports:
        verdicts = [
            row[transport]
            for id_, row in rows.items()
            if id_.startswith(f"{area}/") and transport in row
        ]
        passed = sum(verdict.result.passed for verdict in verdicts)
        fine = fine and passed == len(verdicts)
        cells += f'<td class="mark">{f"{passed}/{len(verdicts)}" if verdicts else ""}</td>'
    css = "area fine" if fine else "area"
    blanks = '<td class="what"></td><td class="level"></td>'
    return f'<tr class="{css}"><td>{area}</td>{blanks}{cells}</tr>'


def _row(id_: str, cells: dict[str, Verdict], transports: Iterable[str]) -> str:
    case = next(iter(cells.values())).case
    marks = "".join(
        f'<td class="mark">{_mark(cells.get(transport))}</td>' for transport in transports
    )
    fine = all(verdict.outcome is Outcome.PASSED for verdict in cells.values())
    return (
        f'<tr{" class=fine" if fine else ""}><td class="id">{escape(id_)}</td>'
        f'<td class="what">{_prose(case.title)}</td><td class="level">{case.level}</td>{marks}</tr>'
    )


def _mark(verdict: Verdict | None) -> str:
    if verdict is None:
        return '<span class="soft">·</span>'
    css, word = _CLASSES[verdict.outcome], _WORDS[verdict.outcome]
    return f'<a class="{css}" href="#{_anchor(verdict)}">{word}</a>'


def _anchor(verdict: Verdict) -> str:
    return f"{verdict.case.transport}-{verdict.case.id}".replace("/", "-")


def _details(report: Report) -> Iterator[str]:
    yield "<h2>Frames</h2>"
    for verdict in sorted(report.verdicts, key=lambda one: WORST_FIRST.index(one.outcome)):
        case, result = verdict.case, verdict.result
        css = _CLASSES[verdict.outcome]
        fine = " fine" if verdict.outcome is Outcome.PASSED else ""
        is_open = " open" if verdict.outcome is Outcome.FAILED else ""
        yield f'<details class="{css}{fine}" id="{_anchor(verdict)}"{is_open}>'
        yield (
            f"<summary><code>{escape(case.id)}</code><span>{case.transport}</span>"
            f'<span class="level">{case.level}</span><span class="soft">{_prose(case.title)}</span>'
            f'<span class="verdict {css}">{verdict.outcome}</span></summary><div class="inside">'
        )
        yield from _failure(result)
        origin = "recorded from Phoenix 1.8.12" if case.recorded_as else "written, not recorded"
        yield f'<p class="soft">Phoenix: {escape(case.source)} ({origin})</p>'
        if not result.passed:
            yield f'<code class="again">{escape(report.reproduce(case))}</code>'
        yield '<table class="wire">'
        yield from map(_log_line, result.log)
        yield "</table></div></details>"


def _failure(result: CaseResult) -> Iterator[str]:
    if result.passed:
        return
    if result.unjudged is not None:
        yield f"<p>Could not be judged: {escape(result.unjudged)}. What was seen:</p>"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.reasons)
    yield f'<ul class="reasons">{reasons}</ul>'
    for number, step in enumerate(result.steps, start=1):
        if not step.is_right:
            yield from _side_by_side(number, step)


def _side_by_side(number: int, step: StepResult) -> Iterator[str]:
    yield f'<table class="side"><caption>step {number}: {escape(str(step.action))}</caption>'
    yield "<tr><th>wanted</th><th>got</th></tr>"
    wanted, got = (list(describe_received(received)) for received in (step.wanted, step.got))
    for index in range(max(len(wanted), len(got))):
        left, right = (lines[index] if index < len(lines) else "" for lines in (wanted, got))
        differs = left != right
        yield (
            f"<tr><td{' class=want' if differs and left else ''}>{escape(left)}</td>"
            f"<td{' class=bad' if differs and right else ''}>{escape(right)}</td></tr>"
        )
    yield "</table>"


def _log_line(line: LogLine) -> str:
    arrow, css = ("→", "") if line.way == "out" else ("←", " in")
    text = describe_frame(line.shown).removeprefix(f"{line.conn}: ")
    return (
        f'<tr><td class="at">{line.at_s * 1000:.0f} ms</td>'
        f'<td class="conn">{escape(line.conn)} <span class="{css.strip()}">{arrow}</span></td>'
        f"<td>{escape(text)}</td></tr>"
    )


def _prose(text: str) -> str:
    """Text with its `code` as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
