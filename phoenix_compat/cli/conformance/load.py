"""`conformance load`: send messages at a steady rate, and say whether all came."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from phoenix_compat.cli.conformance.reference_set import check_reference_set
from phoenix_compat.cli.conformance.values import OUTPUT_FILE, base_url, duration, write_output
from phoenix_compat.cli.errors import CommandError
from phoenix_compat.cli.remote.server_url import server_url

if TYPE_CHECKING:
    from rich.console import Console

    from phoenix_compat.conformance.load.plan import LoadPlan
    from phoenix_compat.conformance.load.run import LoadOutcome

LOAD_KINDS: Final = ("echo", "broadcast", "both")
_MOUNT: Final = "/socket"
_MAX_CONNECTIONS: Final = 25_000
_MAX_DURATION_S: Final = 24 * 3600.0
_OTHER_FILES: Final = 100
"""Files that this process has open besides its connections, and some to spare."""
_EXIT_CODES: Final = {"clean": 0, "not clean": 1, "not judged": 3}


@click.command()
@click.argument("url", callback=server_url("http://localhost:4000"))
@click.option(
    "--connections",
    type=click.IntRange(1, _MAX_CONNECTIONS),
    default=100,
    show_default=True,
    help="How many connections are opened. Each joins one topic.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 1_000_000),
    default=100.0,
    show_default=True,
    help="How many messages all connections send in a second.",
)
@click.option(
    "--for",
    "for_s",
    callback=duration(_MAX_DURATION_S),
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="How long they send, such as 30s or 10m.",
)
@click.option(
    "--kind",
    type=click.Choice(LOAD_KINDS),
    default="both",
    show_default=True,
    help="Echoes to the sender, broadcasts to all of a topic, or half of each.",
)
@click.option(
    "--per-topic",
    type=click.IntRange(1, _MAX_CONNECTIONS),
    default=10,
    show_default=True,
    help="How many connections share a topic; each of them receives its broadcasts.",
)
@click.option(
    "--payload-bytes",
    type=click.IntRange(0, 60_000),
    default=100,
    show_default=True,
    help="Size of the text in each payload.",
)
@click.option(
    "--max-p99",
    "max_p99_s",
    callback=duration(_MAX_DURATION_S),
    metavar="DURATION",
    help="Not clean if more than one message in a hundred takes longer, such as 200ms.  [no limit]",
)
@click.option(
    "--json", "json_path", type=OUTPUT_FILE, help="Write the result as JSON; - for stdout."
)
def load(  # noqa: PLR0913 - the options of the command
    url: str,
    *,
    connections: int,
    rate: float,
    for_s: float,
    kind: Any,
    per_topic: int,
    payload_bytes: int,
    max_p99_s: float | None,
    json_path: Path | None,
) -> None:
    """Send numbered messages to the server at URL over many websockets, and say whether all came.

    The server must host the reference channel set. A run is clean if no message is missing, out of
    order, duplicated or altered, and if each connection joined and stayed. The latencies are
    printed as a histogram. If this program could not keep its own schedule, the server is not
    blamed for it.

    \b
    Exit codes:
      0  clean
      1  not clean
      2  the command line is wrong, or the server does not answer or lacks the set
      3  not judged: this program or machine was too slow for the load
    """
    import asyncio
    import time

    from rich.console import Console

    from phoenix_compat.conformance.load.plan import LoadPlan
    from phoenix_compat.conformance.load.report import format_outcome, to_json

    plan = LoadPlan(base_url(url), connections, rate, for_s, kind, per_topic, payload_bytes)
    _raise_open_files(connections)
    console = Console(stderr=json_path == Path("-"), highlight=False)
    began_at_s = time.monotonic()
    outcome = asyncio.run(_load(plan, max_p99_s, console))
    took_s = time.monotonic() - began_at_s
    for line in format_outcome(outcome, plan):
        console.print(line, soft_wrap=True, markup=False)
    if json_path is not None:
        write_output(json_path, to_json(outcome, plan, took_s))
    sys.exit(_EXIT_CODES[outcome.result])


async def _load(plan: LoadPlan, max_p99_s: float | None, console: Console) -> LoadOutcome:
    from phoenix_compat.conformance.load.run import run_load

    await check_reference_set(plan.url, _MOUNT)
    with _progress(console, plan) as tick:
        return await run_load(plan, max_p99_s=max_p99_s, on_tick=tick)


def _raise_open_files(connections: int) -> None:
    """Allow this process as many open files as the connections need.

    Raises:
        CommandError: the system allows fewer.
    """
    if sys.platform == "win32":
        return
    import resource

    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard not in {resource.RLIM_INFINITY} and hard < wanted:
        raise CommandError(
            f"--connections {connections} needs {wanted} open files, and this system allows "
            f"{hard}; choose at most {max(hard - _OTHER_FILES, 1)}, or raise the limit (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _progress(console: Console, plan: LoadPlan) -> Iterator[Callable[[LoadOutcome], None]]:
    """A progress bar on a terminal; call the yielded function with the outcome so far."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(40),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        row = bar.add_task("connecting", total=max(int(plan.rate * plan.for_s), 1))

        def tick(outcome: LoadOutcome) -> None:
            sent = outcome.generator.sent
            received = outcome.echo_latency.count + outcome.broadcast_latency.count
            bar.update(row, completed=sent, description=f"{sent} sent, {received} received")

        yield tick
