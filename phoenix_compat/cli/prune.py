"""`prune`: old tasks go, with their files."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from pathlib import Path

import click

from phoenix_compat.cli.options import settings_of, where_options


@click.command()
@where_options
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=1 / 24),
    required=True,
    metavar="DAYS",
    help="Tasks that ended so many days ago.",
)
@click.option("--dry-run", is_flag=True, help="Only count them; a server may be running.")
def prune(config: Path | None, data_dir: Path | None, days: float, *, dry_run: bool) -> None:
    """Delete old completed and failed tasks, their files and keys.

    It refuses beside a running server, which does the same every hour with the setting
    keep_tasks_s.
    """
    import asyncio
    from datetime import UTC, datetime, timedelta

    from phoenix_compat.operations.prune import count_old, prune_now

    settings = settings_of(config, data_dir=data_dir)
    before = datetime.now(UTC) - timedelta(days=days)
    if dry_run:
        count = count_old(settings.database_path, before)
        click.echo(f"{count} tasks ended before {before:%Y-%m-%d %H:%M} UTC; nothing was deleted")
        return
    pruned = asyncio.run(prune_now(settings, before))
    click.echo(f"{pruned.tasks} tasks deleted, {pruned.freed_bytes / 1e6:.1f} MB of files freed")
