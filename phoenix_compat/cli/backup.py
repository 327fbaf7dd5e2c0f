"""`backup` and `restore`."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from phoenix_compat.cli.options import settings_of, where_options

if TYPE_CHECKING:
    from phoenix_compat.operations.bundle import Manifest


@click.command()
@where_options
@click.argument("out", type=click.Path(path_type=Path), required=False)
def backup(config: Path | None, data_dir: Path | None, out: Path | None) -> None:
    """Write tasks and kept files to OUT, one tar file; a server may be running.

    It is read back and checked before it gets its name. OUT may be a folder, and is the present
    one when left out; the file is then named by the time.
    """
    from datetime import UTC, datetime

    from phoenix_compat.operations.backup import Data, back_up
    from phoenix_compat.server.main import schema_sql
    from phoenix_compat.tasks.store.sqlite.database_file import version_of

    settings = settings_of(config, data_dir=data_dir)
    out = out or Path()
    if out.is_dir():
        out /= f"phoenix-compat-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    version = version_of(schema_sql())
    data = Data(database=settings.database_path, files=settings.files_path, schema_version=version)
    manifest = back_up(data, out)
    click.echo(f"{out}: {_told(manifest)}; read back and sound")
    if manifest.missing:
        click.echo(f"warning: {len(manifest.missing)} kept files were gone already", err=True)


@click.command()
@where_options
@click.argument("backup", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Only see whether it could be restored.")
def restore(config: Path | None, data_dir: Path | None, backup: Path, *, only_check: bool) -> None:
    """Make a data directory of a backup; nothing is overwritten, and no server may be running."""
    import tempfile

    from phoenix_compat.operations.restore import check_backup
    from phoenix_compat.operations.restore import restore as restore_backup
    from phoenix_compat.server.main import schema_sql
    from phoenix_compat.tasks.store.sqlite.database_file import version_of

    version = version_of(schema_sql())
    if only_check:
        with tempfile.TemporaryDirectory() as folder:
            manifest = check_backup(backup, version, Path(folder))
        click.echo(f"{backup} is sound: {_told(manifest)}")
        return
    settings = settings_of(config, data_dir=data_dir)
    manifest = restore_backup(backup, settings.data_dir, version)
    click.echo(f"{settings.data_dir}: {_told(manifest)}, as of {manifest.created_at}")


def _told(manifest: Manifest) -> str:
    size_mb = sum(part.bytes for part in manifest.parts.values()) / 1e6
    files = len(manifest.parts) - 1
    return f"{manifest.tasks} tasks and {files} kept files, {size_mb:.1f} MB"
