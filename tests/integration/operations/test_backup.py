"""Backup and restore: under load, with damaged files, and into folders that are in use."""

from __future__ import annotations

import asyncio
import io
import re
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from phoenix_compat.cli import cli
from phoenix_compat.operations.data.backup import Data, back_up
from phoenix_compat.operations.data.bundle import BackupError, copy_parts
from phoenix_compat.operations.data.restore import check_backup, restore
from phoenix_compat.tasks.model.errors import StoreInUseError, StoreOpenError, StoreVersionError
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from tests.integration.operations.commands import run, server
from tests.integration.store.stored_tasks import SCHEMA_VERSION, make_data_dir
from tests.integration.task_server import Client
from tests.patience import patient

COMMAND = ("-m", "phoenix_compat")
POSTERS = 8


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with tasks and files, and no server."""
    return make_data_dir(tmp_path / "home")


def data_of(folder: Path) -> Data:
    """The data of a data directory, for `back_up`."""
    return Data(
        database=folder / "tasks.sqlite3", files=folder / "files", schema_version=SCHEMA_VERSION
    )


def ids_in(database: Path) -> set[str]:
    """The ids of the tasks in a database, which must be intact."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in connection.execute("SELECT id FROM tasks")}


def files_in(folder: Path) -> dict[str, bytes]:
    """The archived files of a data directory, by path."""
    files = folder / "files"
    return {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*.*")}


async def test_a_backup_under_load_has_every_accepted_task(tmp_path: Path) -> None:
    """Every task that got a 202 before the backup began is in the restored database."""
    home, elsewhere, out = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "backup.tar"
    serve = (*COMMAND, "serve", "--port", "0", "--data-dir", str(home))
    accepted: list[str] = []
    async with (
        server(*serve, PHOENIX_COMPAT_EMULATOR_SPEED="50") as (_, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)

        enough = asyncio.Event()

        async def post() -> None:
            while True:
                accepted.append(await client.post())
                if len(accepted) >= 100:
                    enough.set()

        finished = await client.post("with a picture")
        assert (await client.ended(finished))["status"] == "completed"
        posters = [asyncio.create_task(post()) for _ in range(POSTERS)]
        async with asyncio.timeout(patient(20.0)):
            await enough.wait()
        before = {finished, *accepted}

        made = await run(*COMMAND, "backup", "--data-dir", str(home), str(out))

        after = len(accepted)
        for poster in posters:
            poster.cancel()
        await asyncio.gather(*posters, return_exceptions=True)
    assert made.code == 0, made.err
    assert after > len(before), "nothing was posted while the backup was made"

    restored = await run(*COMMAND, "restore", "--data-dir", str(elsewhere), str(out))

    assert restored.code == 0, restored.err
    assert before <= ids_in(elsewhere / "tasks.sqlite3")
    async with (
        server(*serve[:-1], str(elsewhere)) as (_, url),
        aiohttp.ClientSession() as http,
    ):
        status, task = await Client(url, http).request("GET", f"/api/tasks/{finished}")
    assert (status, task["state"]) == (200, "completed")
    restored_files = files_in(elsewhere)
    assert len(restored_files) >= 2, "the picture and its thumbnail"
    assert restored_files.items() <= files_in(home).items()


def test_a_restore_is_identical(home: Path, tmp_path: Path) -> None:
    """Tasks and files are restored byte for byte, readable only by their owner."""
    out = tmp_path / "backup.tar"

    made = back_up(data_of(home), out)
    assert check_backup(out, SCHEMA_VERSION, tmp_path) == made
    restore(out, tmp_path / "new", SCHEMA_VERSION)

    assert files_in(tmp_path / "new") == files_in(home)
    assert ids_in(tmp_path / "new" / "tasks.sqlite3") == ids_in(home / "tasks.sqlite3")
    modes = {path.stat().st_mode & 0o777 for path in (out, tmp_path / "new" / "tasks.sqlite3")}
    assert modes == {0o600}
    assert made.missing == []
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"tasks.sqlite3", "tasks.sqlite3.lock", "files"}


def test_a_missing_file_is_listed(home: Path, tmp_path: Path) -> None:
    """An archived file that was deleted is listed as missing, and the rest is backed up."""
    (deleted, *_) = (home / "files").rglob("*.png")
    deleted.unlink()

    made = back_up(data_of(home), tmp_path / "backup.tar")

    assert made.missing == [deleted.relative_to(home / "files").as_posix()]


def test_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    """A backup replaces no file; a restore replaces no database and no WAL that was left behind."""
    out = tmp_path / "backup.tar"
    back_up(data_of(home), out)
    with pytest.raises(BackupError, match="exists; choose another name"):
        back_up(data_of(home), out)

    before = (home / "tasks.sqlite3").read_bytes()
    with pytest.raises(BackupError, match="exists and is not overwritten"):
        restore(out, home, SCHEMA_VERSION)
    assert (home / "tasks.sqlite3").read_bytes() == before

    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "tasks.sqlite3-wal").touch()
    with pytest.raises(BackupError, match=r"tasks\.sqlite3-wal exists"):
        restore(out, tmp_path / "new", SCHEMA_VERSION)


def test_a_restore_refuses_while_a_server_runs(home: Path, tmp_path: Path) -> None:
    """A locked data directory is not changed."""
    back_up(data_of(home), tmp_path / "backup.tar")
    (tmp_path / "new").mkdir()

    with (
        lock_file(tmp_path / "new" / "tasks.sqlite3"),
        pytest.raises(StoreInUseError, match="stop that one first"),
    ):
        restore(tmp_path / "backup.tar", tmp_path / "new", SCHEMA_VERSION)


def test_an_interrupted_restore_can_be_repeated(home: Path, tmp_path: Path) -> None:
    """Files from the first attempt are no obstacle, because their names are their hashes."""
    new = tmp_path / "new"
    back_up(data_of(home), tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", new, SCHEMA_VERSION)
    (new / "tasks.sqlite3").unlink()
    (new / ".restoring").mkdir()

    restore(tmp_path / "backup.tar", new, SCHEMA_VERSION)

    assert files_in(new) == files_in(home)
    assert not (new / ".restoring").exists()


def cut(path: Path) -> None:
    """Cut off the second half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    """Flip one bit of an archived file."""
    content = bytearray(path.read_bytes())
    content[content.index(b"picture 1")] ^= 1
    path.write_bytes(content)


def insert(name: str) -> Callable[[Path], None]:
    """Insert a file with this name after the database."""

    def change(path: Path) -> None:
        copy = path.with_suffix(".new")
        with tarfile.open(path) as source, tarfile.open(copy, "w:") as target:
            for place, entry in enumerate(source.getmembers()):
                target.addfile(entry, source.extractfile(entry))
                if place == 0:
                    more = tarfile.TarInfo(name)
                    more.size = 1
                    target.addfile(more, io.BytesIO(b"x"))
        copy.replace(path)

    return change


def empty(path: Path) -> None:
    """Remove all content."""
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "not a complete backup"),
        (empty, "not a complete backup"),
        (flip, "is damaged; use another backup"),
        (insert("../evil"), "'../evil', which does not belong"),
        (insert("tasks.sqlite3"), "'tasks.sqlite3', which does not belong"),
    ],
)
def test_a_damaged_backup_restores_nothing(
    home: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    """If it is truncated, altered or extended, the error says so, and no database is written."""
    out = tmp_path / "backup.tar"
    back_up(data_of(home), out)
    damage(out)

    with pytest.raises(BackupError, match=reason):
        restore(out, tmp_path / "new", SCHEMA_VERSION)

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["tasks.sqlite3.lock"]
    assert not (tmp_path / "evil").exists()


def test_a_backup_of_a_newer_program_is_refused(home: Path, tmp_path: Path) -> None:
    """A database of a newer schema version is not restored."""
    back_up(data_of(home), tmp_path / "backup.tar")

    with pytest.raises(StoreVersionError, match="use a newer version of this program"):
        restore(tmp_path / "backup.tar", tmp_path / "new", SCHEMA_VERSION - 1)


def test_a_backup_without_a_database_is_refused(tmp_path: Path) -> None:
    """The error names --data-dir, and no file is written."""
    with pytest.raises(StoreOpenError, match="--data-dir"):
        back_up(data_of(tmp_path / "nowhere"), tmp_path / "backup.tar")

    assert list(tmp_path.iterdir()) == []


def test_every_state_of_a_task_is_backed_up(home: Path, tmp_path: Path) -> None:
    """Queued, running and ended tasks are in the backup as they are."""

    back_up(data_of(home), tmp_path / "backup.tar")
    manifest = copy_parts(tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new", SCHEMA_VERSION)

    with closing(sqlite3.connect(tmp_path / "new" / "tasks.sqlite3")) as connection:
        states = {row[0] for row in connection.execute("SELECT status FROM tasks")}
    assert states == {status.value for status in TaskStatus}
    assert manifest.tasks == 6


def test_a_missing_folder_is_made(home: Path, tmp_path: Path) -> None:
    """A name that ends with a slash is a folder's: two backups are two files in it."""
    folder = tmp_path / "new" / "backups"

    done = CliRunner().invoke(cli, ["backup", "--data-dir", str(home), f"{folder}/"])
    name = done.output.partition(": ")[0]

    assert done.exit_code == 0, done.output
    assert [str(path) for path in folder.iterdir()] == [name]
    assert re.fullmatch(r"phoenix-compat-\d{8}T\d{6}Z\.tar", Path(name).name)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_name_without_a_slash_is_a_file(home: Path, tmp_path: Path) -> None:
    """Unless a folder has it."""
    file = tmp_path / "out.tar"

    done = CliRunner().invoke(cli, ["backup", "--data-dir", str(home), str(file)])

    assert done.exit_code == 0, done.output
    assert file.is_file()
