"""`export` and `import`: write and read tasks as JSON lines."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import click

from phoenix_compat.cli.options import data_options, settings_of
from phoenix_compat.private_files import naming, replaced_privately


@click.command("export")
@data_options
@click.argument(
    "out", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-"
)
def export_tasks(config: Path | None, data_dir: Path | None, out: Path) -> None:
    """Write every task to OUT as a line of JSON; a server may be running.

    The default for OUT is standard output. A new file can be read only by its owner. Archived files
    are named but not included: see backup.
    A task that cannot be read is left out and reported; the exit code is then 1.
    """
    import asyncio

    from phoenix_compat.operations.data.shared_transfer import export_tasks as export_shared_tasks
    from phoenix_compat.server.engine import schema_sql
    from phoenix_compat.tasks.store.transfer.task_lines import MAX_PROBLEMS, export_lines

    count = left_out = 0

    def leave_out(problem: str) -> None:
        nonlocal left_out
        left_out += 1
        if left_out <= MAX_PROBLEMS:
            click.echo(f"left out: {problem}", err=True)

    settings = settings_of(config, data_dir=data_dir)
    with _opened(out) as file:
        if settings.is_shared:
            count = asyncio.run(export_shared_tasks(settings, file.write, leave_out))
        else:
            for line in export_lines(settings.database_path, schema_sql(), leave_out):
                file.write(line)
                count += 1
    click.echo(f"{count} tasks exported", err=True)
    if left_out:
        click.echo(f"{left_out} tasks left out, because they cannot be read", err=True)
        click.get_current_context().exit(1)


@contextmanager
def _opened(out: Path) -> Iterator[IO[bytes]]:
    if str(out) == "-":
        with naming("the standard output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
    else:
        with replaced_privately(out) as file:
            yield file


@click.command("import")
@data_options
@click.argument("source", type=click.File("rb"), default="-")
@click.option(
    "--with-unfinished",
    is_flag=True,
    help="Also import queued and running tasks; only if their old server is gone for good.",
)
def import_tasks(
    config: Path | None, data_dir: Path | None, source: BinaryIO, *, with_unfinished: bool
) -> None:
    """Add the tasks of an export, all or none; tasks that exist already are not changed.

    It refuses while a server is running, unless the tasks are in PostgreSQL. Every line is checked;
    errors name the line. Files are not in an export: copy the folder `files` of the old server
    first, or what is in its bucket.
    """
    import asyncio

    from phoenix_compat.operations.data.shared_transfer import import_tasks as import_shared_tasks
    from phoenix_compat.operations.data.shared_transfer import repeatable
    from phoenix_compat.operations.data.stored_files import files_at, finding_files
    from phoenix_compat.server.engine import schema_sql
    from phoenix_compat.tasks.store.transfer.task_lines import import_lines

    settings = settings_of(config, data_dir=data_dir)
    with finding_files(settings) as find_file:
        if settings.is_shared:
            with repeatable(source) as read_lines:
                importing = import_shared_tasks(
                    settings, read_lines, with_unfinished=with_unfinished, find_file=find_file
                )
                done = asyncio.run(importing)
        else:
            done = import_lines(
                settings.database_path,
                schema_sql(),
                source,
                with_unfinished=with_unfinished,
                find_file=find_file,
            )
    click.echo(f"{done.added} tasks added, {done.known} existed already")
    if done.left_out:
        click.echo(f"{done.left_out} unfinished tasks left out; see --with-unfinished", err=True)
    if done.without_files:
        click.echo(
            f"{done.without_files} tasks name files that are not in {files_at(settings)}; copy "
            "the folder of the old server there, and import once more",
            err=True,
        )
