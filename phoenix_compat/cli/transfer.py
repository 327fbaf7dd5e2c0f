"""`export` and `import`: tasks as JSON lines."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from phoenix_compat.cli.options import settings_of, where_options


@click.command("export")
@where_options
@click.argument("out", type=click.File("wb", atomic=True), default="-")
def export_tasks(config: Path | None, data_dir: Path | None, out: BinaryIO) -> None:
    """Write every task to OUT as a line of JSON; a server may be running.

    Without OUT they go to standard output. Kept files are named and not included: see backup.
    A task of which something cannot be read is left out and named; the exit code is then 1.
    """
    from phoenix_compat.server.main import schema_sql
    from phoenix_compat.tasks.store.transfer import MAX_PROBLEMS, export_lines

    count = left_out = 0

    def leave_out(problem: str) -> None:
        nonlocal left_out
        left_out += 1
        if left_out <= MAX_PROBLEMS:
            click.echo(f"left out: {problem}", err=True)

    database = settings_of(config, data_dir=data_dir).database_path
    for line in export_lines(database, schema_sql(), leave_out):
        out.write(line)
        count += 1
    click.echo(f"{count} tasks exported", err=True)
    if left_out:
        click.echo(f"{left_out} tasks left out, because they cannot be read", err=True)
        click.get_current_context().exit(1)


@click.command("import")
@where_options
@click.argument("source", type=click.File("rb"), default="-")
@click.option(
    "--with-unfinished",
    is_flag=True,
    help="Queued and running tasks too: only when the server they are from is gone for good.",
)
def import_tasks(
    config: Path | None, data_dir: Path | None, source: BinaryIO, *, with_unfinished: bool
) -> None:
    """Add the tasks of an export, all or none; tasks that are here already stay as they are.

    It refuses beside a running server. Every line is checked; what is wrong is told by its number.
    """
    from phoenix_compat.server.main import schema_sql
    from phoenix_compat.tasks.store.transfer import import_lines

    database = settings_of(config, data_dir=data_dir).database_path
    done = import_lines(database, schema_sql(), source, with_unfinished=with_unfinished)
    click.echo(f"{done.added} tasks added, {done.known} were here already")
    if done.left_out:
        click.echo(f"{done.left_out} unfinished tasks left out; see --with-unfinished", err=True)
