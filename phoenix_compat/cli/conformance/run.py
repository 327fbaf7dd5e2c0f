"""`conformance run`: test a server."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phoenix_compat.cli.errors import CommandError
from phoenix_compat.cli.remote.server_url import server_url

if TYPE_CHECKING:
    from rich.console import Console

    from phoenix_compat.conformance.report.summary import Report
    from phoenix_compat.conformance.suite.cases import Case, Transport
    from phoenix_compat.conformance.suite.expected import ExpectedFailures

_EXIT_FAILED = 1
_EXIT_UNJUDGED = 3

_FILE = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


@click.command()
@click.argument("url", callback=server_url("http://localhost:4001"), required=False)
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    help="Only these cases: an id, its beginning up to a slash, or a pattern with *. Repeatable.",
)
@click.option(
    "--except", "without", multiple=True, metavar="ID", help="Without these cases. Repeatable."
)
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.Choice(["MUST", "SHOULD", "PROFILE"], case_sensitive=False),
    help="Only cases of this level. Repeatable.  [all]",
)
@click.option(
    "--profile", default="1.8.12", show_default=True, help="Version of Phoenix to test against."
)
@click.option(
    "--transport",
    type=click.Choice(["websocket", "longpoll", "both"]),
    default="both",
    show_default=True,
    help="Transports to test.",
)
@click.option(
    "--expected-failures",
    "expected_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the ids of cases that are known to fail, one per line.",
)
@click.option("--list", "is_list", is_flag=True, help="List the cases, and run none.")
@click.option("--json", "json_path", type=_FILE, help="Write the report as JSON; - for stdout.")
@click.option("--junit", "junit_path", type=_FILE, help="Write the report as JUnit XML.")
@click.option("--html", "html_path", type=_FILE, help="Write the report as an HTML page.")
@click.option("--badge", "badge_path", type=_FILE, help="Write a badge as SVG.")
@click.option(
    "--quiet-ms",
    type=click.IntRange(10, 10_000),
    default=250,
    show_default=True,
    help="A step is complete when the server has sent nothing for this long; longer if the machine "
    "is busy or the server is slow.",
)
@click.option(
    "--timing",
    type=click.Choice(["strict", "patient"]),
    default="patient",
    show_default=True,
    help="How long to wait for what is late, and how often to play a failing case again. Passing "
    "cases take equally long; strict gives up within seconds.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 500),
    default=32,
    show_default=True,
    help="How many cases run at the same time.",
)
def run(  # noqa: PLR0913 - the options of the command
    url: str | None,
    *,
    only: Sequence[str],
    without: Sequence[str],
    levels: Sequence[str],
    profile: str,
    transport: str,
    expected_path: Path | None,
    is_list: bool,
    quiet_ms: int,
    concurrency: int,
    timing: str,
    **paths: Path | None,
) -> None:
    """Test the server at URL, which must host the reference channel set.

    URL is http://host:port, followed by the path before /socket if there is one. The cases are
    conversations recorded from Phoenix 1.8.12, or written from its specification; --list shows
    them.

    \b
    Exit codes:
      0  every case went as expected
      1  a case failed, or passed although it was expected to fail
      2  the command line or the file of expected failures is wrong, or the
         server does not answer or lacks the set
      3  nothing failed, but a case could not be judged: the report says why
    """
    from rich.console import Console

    from phoenix_compat.conformance.report.terminal import show_list
    from phoenix_compat.conformance.suite.catalog import load_suite, select
    from phoenix_compat.conformance.suite.expected import ExpectedFailures

    cases = select(
        load_suite(profile, _transports(transport)),
        only=only,
        without=without,
        levels=[level.upper() for level in levels],  # type: ignore[misc] # click has checked them
    )
    if not cases:
        raise click.UsageError("no case matches these options; --list shows all cases")
    expected = ExpectedFailures()
    if expected_path is not None:
        expected = ExpectedFailures.read(expected_path, load_suite(profile))
    is_stdout_taken = any(path == Path("-") for path in paths.values())
    console = Console(stderr=is_stdout_taken)
    if is_list:
        show_list(console, cases)
        return
    if url is None:
        raise click.UsageError("the URL of the server is missing; write http://localhost:4001")

    report = _play(
        console,
        _base_url(url),
        cases=cases,
        expected=expected,
        profile=profile,
        quiet_s=quiet_ms / 1000,
        concurrency=concurrency,
        timing=timing,
    )
    _write(report, paths)
    if report.is_bad:
        sys.exit(_EXIT_FAILED)
    if not report.is_good:
        sys.exit(_EXIT_UNJUDGED)


def _transports(chosen: str) -> tuple[Transport, ...]:
    from phoenix_compat.conformance.suite.cases import TRANSPORTS

    return TRANSPORTS if chosen == "both" else tuple(t for t in TRANSPORTS if t == chosen)


def _base_url(url: str) -> str:
    """The URL before the socket's path; the URL of a socket is accepted too."""
    return url.removesuffix("/websocket").removesuffix("/longpoll").removesuffix("/socket")


def _play(  # noqa: PLR0913 - the options of the command
    console: Console,
    url: str,
    *,
    cases: Sequence[Case],
    expected: ExpectedFailures,
    profile: str,
    quiet_s: float,
    concurrency: int,
    timing: str,
) -> Report:
    import asyncio
    import time
    from datetime import UTC, datetime

    from phoenix_compat.conformance.report.summary import Report, judge
    from phoenix_compat.conformance.report.terminal import progress, show_report
    from phoenix_compat.conformance.suite.judging.timing import TIMINGS
    from phoenix_compat.conformance.suite.pace import Pace
    from phoenix_compat.conformance.suite.runner import run_cases

    limits = TIMINGS[timing]
    pace = Pace(timing=limits)
    asyncio.run(_check_reachable(url))
    began_at, began_at_s = datetime.now(UTC), time.monotonic()
    with progress(console, len(cases)) as advance:
        results = asyncio.run(
            run_cases(
                cases,
                url,
                concurrency=concurrency,
                quiet_s=quiet_s,
                timing=limits,
                pace=pace,
                is_known=expected.names,
                on_result=advance,
            )
        )
    took_s = time.monotonic() - began_at_s
    verdicts = judge(results, expected)
    report = Report(url, profile, began_at, took_s, verdicts, pace.highest, timing)
    show_report(console, report)
    return report


async def _check_reachable(url: str) -> None:
    """Exit with an error if the URL has no socket to test."""
    from phoenix_compat.conformance.suite.connections import exchange
    from phoenix_compat.operations.reason import reason_of

    problem = None
    try:
        response = await exchange(url, "GET", "/socket/websocket?vsn=2.0.0", timeout_s=30)
    except (OSError, EOFError, ValueError) as error:
        problem = (
            f"no server answers at {url}: {reason_of(error)}; check the URL, or start the server"
        )
    else:
        if response.status == 404:
            problem = (
                f"{url} has no socket at /socket/websocket: the suite tests servers that host the "
                "reference channel set, as `phoenix-compat conformance serve` does"
            )
    if problem is not None:
        raise CommandError(problem)


def _write(report: Report, paths: dict[str, Path | None]) -> None:
    from phoenix_compat.conformance.report.badge import to_badge
    from phoenix_compat.conformance.report.machine import to_json, to_junit
    from phoenix_compat.conformance.report.page import to_page

    writers: dict[str, Callable[[Any], str]] = {
        "json_path": to_json,
        "junit_path": to_junit,
        "html_path": to_page,
        "badge_path": to_badge,
    }
    for name, write in writers.items():
        path = paths[name]
        if path is None:
            continue
        if path == Path("-"):
            click.echo(write(report))
            continue
        try:
            path.write_text(write(report), encoding="utf-8")
        except OSError as error:
            remedy = "choose another file"
            raise CommandError(f"cannot write {path}: {error.strerror}; {remedy}") from error
