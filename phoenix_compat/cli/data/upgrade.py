"""`upgrade`: bring the database to this program's schema, or print what that would do."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from pathlib import Path

import click

from phoenix_compat.cli.options import data_options, file_settings_of


@click.command()
@data_options
@click.option("--plan", "only_plan", is_flag=True, help="Change nothing; print what would be done.")
def upgrade(config: Path | None, data_dir: Path | None, *, only_plan: bool) -> None:
    """Bring the database to this program's schema; the old database is copied first.

    `serve` does the same when it starts. An older program cannot open the new database: to go
    back, replace the database by the copy.
    """
    from phoenix_compat.operations.data.upgrade import plan_upgrade
    from phoenix_compat.operations.data.upgrade import upgrade as upgrade_database
    from phoenix_compat.server.engine import schema_sql

    remedy = "the servers upgrade it when they start"
    database = file_settings_of(config, remedy, data_dir=data_dir).database_path
    schema = schema_sql()
    plan = plan_upgrade(database, schema)
    for line in plan.lines():
        click.echo(line)
    if only_plan or not plan.is_needed:
        return
    upgrade_database(database, schema)
    click.echo(f"done; the copy of the old database is {plan.copy}")
