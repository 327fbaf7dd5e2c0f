"""`backup` and `restore`: copy a data directory to a file and back."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phoenix_compat.cli.errors import warn
from phoenix_compat.cli.options import data_options, file_settings_of

if TYPE_CHECKING:
    from phoenix_compat.operations.data.bundle import Manifest

_SEPARATORS: Final = tuple(filter(None, (os.sep, os.altsep)))


@click.command()
@data_options
@click.argument("out", type=click.Path(), default=".")
def backup(config: Path | None, data_dir: Path | None, out: str) -> None:
    """Write tasks and archived files to OUT, a tar file; a server may be running.

    The backup gets its final name only after it has been read back and verified. If OUT is a
    folder, or ends with a slash, the file is named after the time; a missing folder is made. The
    default is the current folder.
    """
    from datetime import UTC, datetime

    from phoenix_compat.operations.data.backup import Data, back_up, made_folder
    from phoenix_compat.operations.data.stored_files import files_at
    from phoenix_compat.server.engine import schema_sql
    from phoenix_compat.tasks.store.sqlite.database_file import version_of

    remedy = "back it up with pg_dump, and copy the archived files"
    settings = file_settings_of(config, remedy, data_dir=data_dir)
    path = Path(out)
    if out.endswith(_SEPARATORS) or path.is_dir():
        name = f"phoenix-compat-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
        path = made_folder(path) / name
    version = version_of(schema_sql())
    data = Data(
        database=settings.database_path,
        files=None if settings.bucket is not None else settings.files_path,
        schema_version=version,
        files_at=files_at(settings),
    )
    manifest = back_up(data, path)
    click.echo(f"{path}: {_summary(manifest)}; verified")
    if manifest.missing:
        warn(f"{len(manifest.missing)} archived files are missing and were not backed up")
    if manifest.files_at:
        warn(f"the files are not in the backup: they stay in {manifest.files_at}")


@click.command()
@data_options
@click.argument("backup", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Verify the backup and restore nothing.")
def restore(config: Path | None, data_dir: Path | None, backup: Path, *, only_check: bool) -> None:
    """Restore a backup into an empty data directory; no server may be running.

    Nothing is overwritten.
    """
    import tempfile

    from phoenix_compat.operations.data.restore import check_backup
    from phoenix_compat.operations.data.restore import restore as restore_backup
    from phoenix_compat.operations.data.stored_files import files_at
    from phoenix_compat.server.engine import schema_sql
    from phoenix_compat.tasks.store.sqlite.database_file import version_of

    version = version_of(schema_sql())
    if only_check:
        with tempfile.TemporaryDirectory() as folder:
            manifest = check_backup(backup, version, Path(folder))
        click.echo(f"{backup} can be restored: {_summary(manifest)}")
        return
    remedy = "restore a dump of it with pg_restore"
    settings = file_settings_of(config, remedy, data_dir=data_dir)
    manifest = restore_backup(backup, settings.data_dir, version)
    click.echo(f"{settings.data_dir}: {_summary(manifest)}, as of {manifest.created_at}")
    if manifest.files_at:
        warn(f"the backup has no files: they must be in {manifest.files_at}, set files_url to it")
    elif settings.files_url is not None and len(manifest.parts) > 1:
        restored = settings.data_dir / "files"
        warn(
            f"the files are in {restored}: copy them to {files_at(settings)}, as docs/files.md says"
        )


def _summary(manifest: Manifest) -> str:
    size_mb = sum(part.bytes for part in manifest.parts.values()) / 1e6
    files = len(manifest.parts) - 1
    return f"{manifest.tasks} tasks and {files} archived files, {size_mb:.1f} MB"
