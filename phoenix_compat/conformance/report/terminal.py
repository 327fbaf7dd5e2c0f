"""Prints a report in the terminal: a progress bar during the run, then failures and a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from phoenix_compat.conformance.report.summary import WORST_FIRST, Outcome, Report, Verdict
from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.conformance.suite.reasons import describe_received
from phoenix_compat.conformance.suite.runner import CaseResult, StepResult

_STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.EXPECTED_FAILURE: "yellow",
    Outcome.UNEXPECTED_PASS: "bold magenta",
    Outcome.UNJUDGED: "bold yellow",
}


@contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[CaseResult], None]]:
    """A progress bar; call the yielded function with each result."""
    bar = Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    failed = 0
    with bar:
        row = bar.add_task("playing", total=total)

        def advance(result: CaseResult) -> None:
            nonlocal failed
            failed += result.failed
            description = f"[red]{failed} differ[/red]" if failed else "playing"
            bar.update(row, advance=1, description=description)

        yield advance


def show_list(console: Console, cases: Sequence[Case]) -> None:
    """Print the cases, one line for each id, with its level and transports."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "level", "over", "shows"):
        table.add_column(name, no_wrap=name != "shows", overflow="fold")
    transports: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        transports[case.id].append(case.transport)
    first = {case.id: case for case in reversed(cases)}
    for id_, over in transports.items():
        case = first[id_]
        recorded = "" if case.recorded_as is not None else "[dim](written)[/dim] "
        table.add_row(id_, case.level, ", ".join(over), recorded + Text(case.title).markup)
    console.print(table)
    console.print(f"{len(transports)} cases, {len(cases)} plays")


def show_report(console: Console, report: Report) -> None:
    """Print every case with an unexpected outcome, the table of areas, and the summary."""
    for verdict in report.verdicts:
        if verdict.outcome is Outcome.FAILED:
            console.print(_failure(report, verdict))
    for verdict in report.verdicts:
        if verdict.outcome is Outcome.UNJUDGED:
            text = f"{verdict.case.key} could not be judged: {verdict.result.unjudged}"
            console.print(Text(text, "yellow"))
            console.print(Text(report.reproduce(verdict.case), "cyan", overflow="fold"))
        elif verdict.outcome is Outcome.UNEXPECTED_PASS:
            console.print(
                Text(f"{verdict.case.key} passed: remove it from the expected failures", "magenta")
            )
    console.print(_table(report))
    if alone := report.passed_alone:
        keys = ", ".join(verdict.case.key for verdict in alone)
        console.print(Text(f"Failed among others, and passed alone: {keys}.", "dim"))
    if report.time_factor > 1.0:
        console.print(
            "Slow machine or server: time limits were up to "
            f"{report.time_factor:.1f} times as long.",
            highlight=False,
        )
    style = "bold green" if report.is_good else "bold red" if report.is_bad else "bold yellow"
    console.print(Text(report.summary, style))


def _failure(report: Report, verdict: Verdict) -> Panel:
    case, result = verdict.case, verdict.result
    parts: list[Text | Table] = [Text(case.title, "italic"), Text(f"Phoenix: {case.source}", "dim")]
    for number, step in enumerate(result.steps, start=1):
        if step.is_right:
            parts.append(Text(f"  ✓ {number}. {step.action}", "dim"))
        else:
            parts.append(Text(f"  ✗ {number}. {step.action}", "red"))
            parts.append(_side_by_side(step))
            parts += [Text(f"    {reason}", "red") for reason in step.reasons]
    if result.error is not None:
        parts.append(Text(f"  ✗ stopped: {result.error}", "red"))
    if result.plays > 1:
        parts.append(Text(f"\nPlayed {result.plays} times, the last ones alone.", "dim"))
    parts.append(Text(f"\n{report.reproduce(case)}", "cyan", overflow="fold"))
    title = Text(f"{case.id} · {case.transport} · {case.level}", "bold red")
    return Panel(Group(*parts), title=title, title_align="left", border_style="red")


def _side_by_side(step: StepResult) -> Table:
    table = Table(box=box.SIMPLE, expand=True, padding=(0, 1))
    for name in ("wanted", "got"):
        table.add_column(name, ratio=1, overflow="fold")
    wanted, got = (list(describe_received(received)) for received in (step.wanted, step.got))
    for number in range(max(len(wanted), len(got))):
        left, right = (lines[number] if number < len(lines) else "" for lines in (wanted, got))
        style = "" if left == right else "red"
        table.add_row(Text(left), Text(right, style))
    return table


def _table(report: Report) -> Table:
    """A table of areas and transports: how many cases passed, of how many."""
    transports = list(dict.fromkeys(verdict.case.transport for verdict in report.verdicts))
    cells: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for verdict in report.verdicts:
        cells[verdict.case.id.partition("/")[0], verdict.case.transport].append(verdict)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("area")
    for transport in transports:
        table.add_column(transport, justify="right")
    for area in dict.fromkeys(area for area, _transport in cells):
        table.add_row(area, *(_cell(cells[area, transport]) for transport in transports))
    return table


def _cell(verdicts: Sequence[Verdict]) -> Text:
    if not verdicts:
        return Text("-", "dim")
    passed = sum(verdict.result.passed for verdict in verdicts)
    worst = min((verdict.outcome for verdict in verdicts), key=WORST_FIRST.index)
    return Text(f"{passed}/{len(verdicts)}", _STYLES[worst])
