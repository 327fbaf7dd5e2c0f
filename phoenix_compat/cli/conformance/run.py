"""`conformance run`: test a server."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phoenix_compat.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from phoenix_compat.conformance.report.summary import Report
    from phoenix_compat.conformance.suite.cases import Case, Transport
    from phoenix_compat.conformance.suite.expected import ExpectedFailures

_EXIT_FAILED = 1
_EXIT_UNREACHABLE = 3

_FILE = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


@click.command()
@click.argument("url", required=False)
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    help="These cases: an id, its beginning up to a slash, or a pattern with *. Repeatable.",
)
@click.option("--except", "without", multiple=True, metavar="ID", help="Not these. Repeatable.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.Choice(["MUST", "SHOULD", "PROFILE"], case_sensitive=False),
    help="Cases of this level. Repeatable; all without.",
)
@click.option("--profile", default="1.8.12", show_default=True, help="The version to be held to.")
@click.option(
    "--transport",
    type=click.Choice(["websocket", "longpoll", "both"]),
    default="both",
    show_default=True,
)
@click.option(
    "--expected-failures",
    "expected_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of ids, a line each, that are known to fail.",
)
@click.option("--list", "is_list", is_flag=True, help="Show the cases, and play none.")
@click.option("--json", "json_path", type=_FILE, help="Write the report as JSON; - for stdout.")
@click.option("--junit", "junit_path", type=_FILE, help="Write it as JUnit XML.")
@click.option("--html", "html_path", type=_FILE, help="Write it as one HTML page.")
@click.option("--badge", "badge_path", type=_FILE, help="Write a badge as SVG.")
@click.option(
    "--quiet-ms",
    type=click.IntRange(10, 10_000),
    default=250,
    show_default=True,
    help="How long nothing must come until a step counts as answered; later is too late.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 500),
    default=32,
    show_default=True,
    help="Cases at once.",
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
    **paths: Path | None,
) -> None:
    """Test the server at URL, which must host the reference channel set.

    URL is http://host:port, with the path before /socket if there is one. The cases are
    conversations recorded from Phoenix 1.8.12 and written from its specification; --list shows
    them.

    \b
    Exit codes:
      0  every case went as expected
      1  a case failed, or passed though it was expected to fail
      2  the command line, or the file of expected failures, cannot be understood
      3  no server answers at URL, or it does not host the reference channel set
    """
    from rich.console import Console

    from phoenix_compat.conformance.report.terminal import show_list
    from phoenix_compat.conformance.suite.catalog import load_suite, select
    from phoenix_compat.conformance.suite.expected import ExpectedFailures

    cases = select(
        load_suite(profile, _transports(transport)),
        only=only,
        without=without,
        levels=[level.upper() for level in levels],  # type: ignore[misc] # click checked them
    )
    if not cases:
        raise click.UsageError("no case is named so: see --list")
    expected = ExpectedFailures()
    if expected_path is not None:
        expected = ExpectedFailures.read(expected_path, load_suite(profile))
    is_stdout_taken = any(path == Path("-") for path in paths.values())
    console = Console(stderr=is_stdout_taken)
    if is_list:
        show_list(console, cases)
        return
    if url is None:
        raise click.UsageError("give the URL of the server, as http://localhost:4001")

    report = _play(
        console,
        _base_url(url),
        cases=cases,
        expected=expected,
        profile=profile,
        quiet_s=quiet_ms / 1000,
        concurrency=concurrency,
    )
    _write(report, paths)
    if not report.is_good:
        sys.exit(_EXIT_FAILED)


def _transports(chosen: str) -> tuple[Transport, ...]:
    from phoenix_compat.conformance.suite.cases import TRANSPORTS

    return TRANSPORTS if chosen == "both" else tuple(t for t in TRANSPORTS if t == chosen)


def _base_url(url: str) -> str:
    """The URL before the socket's path; takes that of a socket, too."""
    from urllib.parse import urlsplit

    base = url.rstrip("/").removesuffix("/websocket").removesuffix("/longpoll")
    base = base.removesuffix("/socket")
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise click.UsageError(f"{url!r} is no URL of a server; write http://localhost:4001")
    return base


def _play(  # noqa: PLR0913 - what was chosen on the command line
    console: Console,
    url: str,
    *,
    cases: Sequence[Case],
    expected: ExpectedFailures,
    profile: str,
    quiet_s: float,
    concurrency: int,
) -> Report:
    import asyncio
    import time
    from datetime import UTC, datetime

    from phoenix_compat.conformance.report.summary import Report, judge
    from phoenix_compat.conformance.report.terminal import progress, show_report
    from phoenix_compat.conformance.suite.runner import run_cases

    asyncio.run(_look(url))
    began_at, began_at_s = datetime.now(UTC), time.monotonic()
    with progress(console, len(cases)) as advance:
        results = asyncio.run(
            run_cases(cases, url, concurrency=concurrency, quiet_s=quiet_s, on_result=advance)
        )
    took_s = time.monotonic() - began_at_s
    report = Report(url, profile, began_at, took_s, judge(results, expected))
    show_report(console, report)
    return report


async def _look(url: str) -> None:
    """Exit with words when there is nothing at the URL to be tested."""
    from phoenix_compat.conformance.suite.connections import exchange

    problem = None
    try:
        response = await exchange(url, "GET", "/socket/websocket?vsn=2.0.0", timeout_s=10)
    except (OSError, EOFError, ValueError) as error:
        problem = f"no server answers at {url}: {str(error) or type(error).__name__}"
    else:
        if response.status == 404:
            problem = (
                f"{url} has no socket at /socket/websocket: the suite tests servers that host the "
                "reference channel set (`phoenix-compat conformance serve` is one)"
            )
    if problem is not None:
        click.echo(f"phoenix-compat: {problem}", err=True)
        sys.exit(_EXIT_UNREACHABLE)


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
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
