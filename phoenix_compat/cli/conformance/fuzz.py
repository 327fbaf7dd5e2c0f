"""`conformance fuzz`: find differences between two servers."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from phoenix_compat.cli.conformance.reference_set import check_reference_set, own_reference_set
from phoenix_compat.cli.conformance.values import OUTPUT_FILE, base_url, duration, write_output
from phoenix_compat.cli.errors import CommandError
from phoenix_compat.cli.remote.server_url import server_url

if TYPE_CHECKING:
    from rich.console import Console

    from phoenix_compat.conformance.fuzz.report import Run
    from phoenix_compat.conformance.fuzz.run import Fuzzer, Outcome
    from phoenix_compat.conformance.fuzz.script import Script

KINDS: Final = ("messages", "queries", "requests")
_MOUNT: Final = "/extra"
_CONVERSATIONS: Final = 1_000
_MAX_DURATION_S: Final = 7 * 24 * 3600.0
_EXIT_CODES: Final = {"no difference": 0, "different": 1, "not judged": 3}


@dataclass(frozen=True, slots=True)
class _Amount:
    """How much to play; `for_s` is None without a limit of time."""

    start: int
    conversations: int | None
    for_s: float | None
    concurrency: int
    max_differences: int

    @property
    def numbers(self) -> range:
        count = self.conversations
        if count is None:
            count = _CONVERSATIONS if self.for_s is None else sys.maxsize - self.start
        return range(self.start, self.start + count)


@click.command()
@click.argument("url", callback=server_url("http://localhost:4000"))
@click.option(
    "--against",
    callback=server_url("http://localhost:4001"),
    metavar="URL",
    help="The server to compare with.  [the reference set of this package, in this process]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63),
    default=1,
    show_default=True,
    help="The same seed leads to the same conversations.",
)
@click.option(
    "--conversations",
    type=click.IntRange(1, 10**9),
    help=f"How many to play.  [{_CONVERSATIONS}; with --for no limit]",
)
@click.option(
    "--for",
    "for_s",
    callback=duration(_MAX_DURATION_S),
    metavar="DURATION",
    help="Begin no conversation after this time, such as 30s or 10m.  [no limit]",
)
@click.option(
    "--start",
    type=click.IntRange(0, 10**9),
    default=0,
    show_default=True,
    help="Number of the first conversation.",
)
@click.option("--kind", type=click.Choice(KINDS), help="Only conversations of this kind.  [all]")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 500),
    default=24,
    show_default=True,
    help="How many conversations are played at the same time.",
)
@click.option(
    "--max-differences",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    help="Stop after so many differences.",
)
@click.option(
    "--replay",
    metavar="JSON|FILE",
    help="Play only this conversation, as it was printed; or those of a file that --json wrote.",
)
@click.option(
    "--json", "json_path", type=OUTPUT_FILE, help="Write the result as JSON; - for stdout."
)
def fuzz(  # noqa: PLR0913 - the options of the command
    url: str,
    *,
    against: str | None,
    seed: int,
    conversations: int | None,
    for_s: float | None,
    start: int,
    kind: Any,
    concurrency: int,
    max_differences: int,
    replay: str | None,
    json_path: Path | None,
) -> None:
    """Play random conversations against the server at URL and another one, and show the smallest
    ones in which they differ.

    Both must host the reference channel set. Conversations use both versions and both transports,
    binary messages, frames and requests that are valid or not, and odd queries. Where the answers
    differ every time, what the difference does not need is removed.

    \b
    Exit codes:
      0  no difference was found
      1  the servers differ
      2  the command line is wrong, or a server does not answer or lacks the set
      3  it could not be judged: too many conversations could not be played
    """
    import asyncio
    import time

    from rich.console import Console

    from phoenix_compat.conformance.fuzz.report import Run, summarize, to_json

    scripts = None if replay is None else _read_scripts(replay)
    run = Run(base_url(url), None if against is None else base_url(against), seed, kind)
    console = Console(stderr=json_path == Path("-"), highlight=False)
    amount = _Amount(start, conversations, for_s, concurrency, max_differences)
    began_at_s = time.monotonic()
    outcome = asyncio.run(_compare(run, amount, scripts, console))
    took_s = time.monotonic() - began_at_s
    console.print(summarize(outcome, run, took_s), soft_wrap=True, markup=False)
    if json_path is not None:
        write_output(json_path, to_json(outcome, run, took_s))
    sys.exit(_EXIT_CODES[outcome.result])


def _read_scripts(replay: str) -> list[Script]:
    from phoenix_compat.conformance.fuzz.report import read_scripts

    text = replay
    if not replay.lstrip().startswith("{"):
        try:
            text = Path(replay).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise click.BadParameter(
                f"cannot read the file {replay!r}: {reason}; write the JSON that the command "
                "printed, or a file that --json wrote",
                param_hint="--replay",
            ) from error
    try:
        return read_scripts(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{error}; write the JSON that the command printed, or a file that --json wrote",
            param_hint="--replay",
        ) from error


async def _compare(
    run: Run, amount: _Amount, scripts: Sequence[Script] | None, console: Console
) -> Outcome:
    """Play, and print each difference when it is found."""
    import logging

    from phoenix_compat.conformance.fuzz.run import Fuzzer

    # Channels of the own server crash on request.
    logging.basicConfig(level=logging.CRITICAL)
    await check_reference_set(run.url, _MOUNT)
    async with _second_server(run) as second_url:
        console.print(f"comparing {run.names[0]} with {run.names[1]}", soft_wrap=True)
        fuzzer = Fuzzer(run.url, second_url, kind=run.kind)
        if scripts is None:
            outcome = await _play(fuzzer, run, amount, console)
        else:
            outcome = await _replay(fuzzer, run, scripts, console)
        if outcome.unfinished:
            await _check_still_there(run)
    return outcome


@asynccontextmanager
async def _second_server(run: Run) -> AsyncIterator[str]:
    if run.against is None:
        async with own_reference_set() as url:
            yield url
    else:
        await check_reference_set(run.against, _MOUNT)
        yield run.against


async def _check_still_there(run: Run) -> None:
    """Say which server has stopped to answer, if one has."""
    for url in filter(None, (run.url, run.against)):
        try:
            await check_reference_set(url, _MOUNT)
        except CommandError as error:
            click.echo(f"Warning: afterwards, {error.message}", err=True)


async def _play(fuzzer: Fuzzer, run: Run, amount: _Amount, console: Console) -> Outcome:
    import math
    import time

    from phoenix_compat.conformance.fuzz.report import explain

    until_s = math.inf if amount.for_s is None else time.monotonic() + amount.for_s
    with _progress(console, amount) as advance:
        return await fuzzer.run(
            amount.numbers,
            run.seed,
            concurrency=amount.concurrency,
            max_differences=amount.max_differences,
            until_s=until_s,
            on_difference=lambda difference: console.print(
                explain(difference, run), soft_wrap=True, markup=False
            ),
            on_play=advance,
        )


@contextmanager
def _progress(console: Console, amount: _Amount) -> Iterator[Callable[[Outcome], None]]:
    """A progress bar on a terminal; call the yielded function with the outcome so far."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    is_counted = amount.for_s is None or amount.conversations is not None
    columns = (TextColumn("{task.completed} played"), BarColumn(40), TimeElapsedColumn())
    bar = Progress(
        *columns,
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        row = bar.add_task("", total=len(amount.numbers) if is_counted else None)

        def advance(outcome: Outcome) -> None:
            count = len(outcome.differences)
            differ = f"[red]{count} different[/red]" if count else ""
            bar.update(row, completed=outcome.played, description=differ)

        yield advance


async def _replay(fuzzer: Fuzzer, run: Run, scripts: Sequence[Script], console: Console) -> Outcome:
    from phoenix_compat.conformance.fuzz.report import explain
    from phoenix_compat.conformance.fuzz.run import Outcome

    outcome = Outcome()
    for script in scripts:
        difference = await fuzzer.replay(script, outcome)
        if difference is not None:
            console.print(explain(difference, run), soft_wrap=True, markup=False)
    return outcome
