"""`prune`: delete old tasks and their files."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from pathlib import Path

import click

from phoenix_compat.cli.options import data_options, file_settings_of, in_range


@click.command()
@data_options
@click.option(
    "--older-than",
    "days",
    type=float,
    callback=in_range(1 / 24, 36_500, "a number of days from 1/24 (an hour) to 36500"),
    required=True,
    metavar="DAYS",
    help="Delete tasks that ended more than this many days ago.",
)
@click.option("--dry-run", is_flag=True, help="Only count the tasks; a server may be running.")
def prune(config: Path | None, data_dir: Path | None, days: float, *, dry_run: bool) -> None:
    """Delete old completed and failed tasks with their files and idempotency keys.

    It refuses while a server is running. A server prunes by itself, every hour, if the setting
    keep_tasks_s is set.
    """
    import asyncio
    from datetime import UTC, datetime, timedelta

    from phoenix_compat.operations.data.prune import count_old, prune_now

    remedy = "set keep_tasks_s, and the servers prune by themselves"
    settings = file_settings_of(config, remedy, data_dir=data_dir)
    before = datetime.now(UTC) - timedelta(days=days)
    if dry_run:
        count = count_old(settings.database_path, before)
        click.echo(f"{count} tasks ended before {before:%Y-%m-%d %H:%M} UTC; nothing was deleted")
        return
    pruned = asyncio.run(prune_now(settings, before))
    click.echo(f"{pruned.tasks} tasks deleted, {pruned.freed_bytes / 1e6:.1f} MB of files freed")
