"""`migrate-store`: move everything from the file in a data directory to PostgreSQL."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phoenix_compat.cli.options import data_options, settings_of

if TYPE_CHECKING:
    from phoenix_compat.operations.data.migrate_store import MigratedTable, Migration

_MAX_SHOWN: Final = 20
_DIGEST_CHARS: Final = 16


@click.command("migrate-store")
@data_options
@click.option(
    "--final",
    "is_final",
    is_flag=True,
    help="Let servers use PostgreSQL from now on; no server may be running on the file.",
)
@click.option(
    "--leave-out",
    "may_leave_out",
    is_flag=True,
    help="With --final: finish although PostgreSQL cannot store some rows.",
)
def migrate_store(
    config: Path | None, data_dir: Path | None, *, is_final: bool, may_leave_out: bool
) -> None:
    """Copy tasks, keys and everything else from SQLite to the PostgreSQL of database_url.

    A server may be running on the file meanwhile. Repeat the command as often as you like, also
    after it was interrupted: it writes what is missing or has changed, and compares the two. Then
    stop the server and run it with --final. The file gets another name, so that no server runs its
    tasks again. Until then no server starts on that PostgreSQL database. Archived files are not
    moved.

    The exit code is 1 if the two differ, or if rows were left out.
    """
    import asyncio

    from phoenix_compat.errors import ConfigError
    from phoenix_compat.operations.data.migrate_store import migrate_store as migrate

    settings = settings_of(config, data_dir=data_dir)
    if settings.database_url is None:
        raise ConfigError(
            "database_url: is not set; set it, or PHOENIX_COMPAT_DATABASE_URL for this command, to "
            "postgresql://user:password@host/name"
        )
    migration = asyncio.run(
        migrate(
            settings.database_path,
            settings.database_url.get_secret_value(),
            is_final=is_final,
            may_leave_out=may_leave_out,
            on_table=_show,
        )
    )
    click.get_current_context().exit(_report(migration, is_final=is_final))


def _show(done: MigratedTable) -> None:
    copied = f"{done.copied.written} written, {done.copied.deleted} deleted"
    if done.is_same:
        digest = done.source.digest[:_DIGEST_CHARS]
        click.echo(f"{done.table.name}: {done.source.rows} rows, {copied}; both have {digest}")
        return
    file, there = (
        f"{one.rows} rows with {one.digest[:_DIGEST_CHARS]}" for one in (done.source, done.target)
    )
    click.echo(f"{done.table.name}: DIFFERENT: {file} in the file, {there} in PostgreSQL; {copied}")


def _report(migration: Migration, *, is_final: bool) -> int:
    for problem in migration.left_out[:_MAX_SHOWN]:
        click.echo(f"left out: {problem}", err=True)
    if migration.left_out:
        click.echo(
            f"{len(migration.left_out)} rows left out, because PostgreSQL cannot store them",
            err=True,
        )
    if not migration.is_verified:
        click.echo("not finished: the two differ; run it once more", err=True)
        return 1
    if migration.kept_as is not None:
        click.echo(f"finished: servers may use PostgreSQL now; the file is {migration.kept_as}")
        return 0
    if migration.left_out:
        remedy = "repair them, or leave them out with --final --leave-out"
        click.echo(f"not finished: {remedy}", err=True)
        return 1
    click.echo("copied and verified; to finish, stop the server and add --final")
    return 0 if not is_final else 1
