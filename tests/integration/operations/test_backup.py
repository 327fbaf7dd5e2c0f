"""Backup and restore: under load, of damaged files, into places where something is already."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.operations.backup import Data, back_up
from phoenix_compat.operations.bundle import BackupError, copy_parts
from phoenix_compat.operations.restore import check_backup, restore
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
    """What is backed up of a data directory."""
    return Data(
        database=folder / "tasks.sqlite3", files=folder / "files", schema_version=SCHEMA_VERSION
    )


def ids_in(database: Path) -> set[str]:
    """The ids of a sound database's tasks."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in connection.execute("SELECT id FROM tasks")}


def kept_in(folder: Path) -> dict[str, bytes]:
    """The kept files of a data directory."""
    files = folder / "files"
    return {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*.*")}


async def test_a_backup_under_load_has_every_task_that_was_promised(tmp_path: Path) -> None:
    """All that was answered 202 before the backup began is there when it is restored elsewhere."""
    home, elsewhere, out = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "backup.tar"
    serve = (*COMMAND, "serve", "--port", "0", "--data-dir", str(home))
    promised: list[str] = []
    async with (
        server(*serve, PHOENIX_COMPAT_EMULATOR_SPEED="50") as (_, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)

        enough = asyncio.Event()

        async def post() -> None:
            while True:
                promised.append(await client.post())
                if len(promised) >= 100:
                    enough.set()

        finished = await client.post("with a picture")
        assert (await client.ended(finished))["status"] == "completed"
        posters = [asyncio.create_task(post()) for _ in range(POSTERS)]
        async with asyncio.timeout(patient(20.0)):
            await enough.wait()
        before = {finished, *promised}

        made = await run(*COMMAND, "backup", "--data-dir", str(home), str(out))

        after = len(promised)
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
    kept = kept_in(elsewhere)
    assert len(kept) >= 2, "the picture and its thumbnail"
    assert kept.items() <= kept_in(home).items()


def test_what_is_restored_is_what_was_there(home: Path, tmp_path: Path) -> None:
    """Tasks and files come back byte for byte, private; a second backup of them is the same."""
    out = tmp_path / "backup.tar"

    made = back_up(data_of(home), out)
    assert check_backup(out, SCHEMA_VERSION, tmp_path) == made
    restore(out, tmp_path / "new", SCHEMA_VERSION)

    assert kept_in(tmp_path / "new") == kept_in(home)
    assert ids_in(tmp_path / "new" / "tasks.sqlite3") == ids_in(home / "tasks.sqlite3")
    modes = {path.stat().st_mode & 0o777 for path in (out, tmp_path / "new" / "tasks.sqlite3")}
    assert modes == {0o600}
    assert made.missing == []
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"tasks.sqlite3", "tasks.sqlite3.lock", "files"}


def test_a_file_that_is_gone_is_told(home: Path, tmp_path: Path) -> None:
    """A kept file that somebody deleted is listed as missing, and the rest is backed up."""
    (gone, *_) = (home / "files").rglob("*.png")
    gone.unlink()

    made = back_up(data_of(home), tmp_path / "backup.tar")

    assert made.missing == [gone.relative_to(home / "files").as_posix()]


def test_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    """A backup does not replace a file, a restore no database and no WAL that was left behind."""
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


def test_a_restore_refuses_to_run_beside_a_server(home: Path, tmp_path: Path) -> None:
    """Who holds the lock of the data directory is not disturbed."""
    back_up(data_of(home), tmp_path / "backup.tar")
    (tmp_path / "new").mkdir()

    with (
        lock_file(tmp_path / "new" / "tasks.sqlite3"),
        pytest.raises(StoreInUseError, match="stop that one first"),
    ):
        restore(tmp_path / "backup.tar", tmp_path / "new", SCHEMA_VERSION)


def test_a_restore_that_was_cut_off_is_simply_repeated(home: Path, tmp_path: Path) -> None:
    """Files that an earlier try has put there are no obstacle: they are named by their content."""
    new = tmp_path / "new"
    back_up(data_of(home), tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", new, SCHEMA_VERSION)
    (new / "tasks.sqlite3").unlink()
    (new / ".restoring").mkdir()

    restore(tmp_path / "backup.tar", new, SCHEMA_VERSION)

    assert kept_in(new) == kept_in(home)
    assert not (new / ".restoring").exists()


def cut(path: Path) -> None:
    """Lose the end."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    """Turn one bit of a kept file."""
    content = bytearray(path.read_bytes())
    content[content.index(b"picture 1")] ^= 1
    path.write_bytes(content)


def smuggle(name: str) -> Callable[[Path], None]:
    """Add a file under this name, behind the database."""

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
    """Lose everything."""
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "not a complete backup"),
        (empty, "not a complete backup"),
        (flip, "is damaged; use another backup"),
        (smuggle("../evil"), "'../evil', which does not belong"),
        (smuggle("tasks.sqlite3"), "'tasks.sqlite3', which does not belong"),
    ],
)
def test_a_damaged_backup_restores_nothing(
    home: Path, tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    """Truncated, altered or tampered with: the reason is told, and no database appears."""
    out = tmp_path / "backup.tar"
    back_up(data_of(home), out)
    damage(out)

    with pytest.raises(BackupError, match=told):
        restore(out, tmp_path / "new", SCHEMA_VERSION)

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["tasks.sqlite3.lock"]
    assert not (tmp_path / "evil").exists()


def test_a_backup_of_a_newer_program_is_refused(home: Path, tmp_path: Path) -> None:
    """A database that this program does not know is not restored by it."""
    back_up(data_of(home), tmp_path / "backup.tar")

    with pytest.raises(StoreVersionError, match="use a newer version of this program"):
        restore(tmp_path / "backup.tar", tmp_path / "new", SCHEMA_VERSION - 1)


def test_a_backup_of_nothing_is_refused(tmp_path: Path) -> None:
    """A data directory without a database is told, and no file appears."""
    with pytest.raises(StoreOpenError, match="--data-dir"):
        back_up(data_of(tmp_path / "nowhere"), tmp_path / "backup.tar")

    assert list(tmp_path.iterdir()) == []


def test_every_state_of_a_task_is_kept(home: Path, tmp_path: Path) -> None:
    """Queued, running and ended tasks are in the backup as they are."""

    back_up(data_of(home), tmp_path / "backup.tar")
    manifest = copy_parts(tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new", SCHEMA_VERSION)

    with closing(sqlite3.connect(tmp_path / "new" / "tasks.sqlite3")) as connection:
        states = {row[0] for row in connection.execute("SELECT status FROM tasks")}
    assert states == {status.value for status in TaskStatus}
    assert manifest.tasks == 6
