"""Commands that write, where nothing more can be written: one sentence, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from phoenix_compat import private_files
from phoenix_compat.operations.data.bundle import copy_parts
from phoenix_compat.tasks.store.sqlite import database_file
from phoenix_compat.tasks.store.transfer.task_lines import export_lines
from tests.integration.operations.commands import Finished, finish, run, start
from tests.integration.store.stored_tasks import make_data_dir
from tests.integration.worker.worker_harness import SCHEMA

COMMAND = ("-m", "phoenix_compat")
_FULL = Path("/dev/full")
_LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960))
sys.argv = ["phoenix-compat", *sys.argv[1:]]
runpy.run_module("phoenix_compat", run_name="__main__")
"""
_TO_FULL = """
import os, runpy, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
sys.argv = ["phoenix-compat", *sys.argv[1:]]
runpy.run_module("phoenix_compat", run_name="__main__")
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and rlimits")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with tasks and files, and no server."""
    return make_data_dir(tmp_path / "home")


async def run_limited(*arguments: str) -> Finished:
    """Run a command that cannot make a file larger than 40 KiB, as if the disk were full.

    SQLite needs 32 KiB beside a database that it reads.
    """
    return await finish(await start("-c", _LIMITED, *arguments))


def names_in(folder: Path) -> set[str]:
    """The names of all files in a folder, without lock files."""
    return {one.name for one in folder.rglob("*") if not one.name.endswith(".lock")}


async def test_a_command_that_cannot_write_says_so(home: Path, tmp_path: Path) -> None:
    """F3: backup, export, restore and import name the place that is full and leave nothing there;
    the exit code is 2."""
    made = await run(*COMMAND, "backup", "--data-dir", str(home), str(tmp_path / "whole.tar"))
    exported = await run(*COMMAND, "export", "--data-dir", str(home), str(tmp_path / "whole.jsonl"))
    assert (made.code, exported.code) == (0, 0), made.err + exported.err
    commands = {
        "backup": ("--data-dir", str(home), str(tmp_path / "new" / "out.tar")),
        "restore": ("--data-dir", str(tmp_path / "new"), str(tmp_path / "whole.tar")),
        "import": ("--data-dir", str(tmp_path / "new"), str(tmp_path / "whole.jsonl")),
    }
    (tmp_path / "new").mkdir()
    before = names_in(home)

    for name, arguments in commands.items():
        ended = await run_limited(name, *arguments)

        assert ended.code == 2, (name, ended.err)
        assert "Traceback" not in ended.err
        assert ended.err.startswith("Error: ")
        assert str(tmp_path / "new") in ended.err, ended.err
        assert not {"whole.tar", "home"} & set(ended.err.replace("/", " ").split()), ended.err
        left = names_in(tmp_path / "new")
        assert left <= ({"tasks.sqlite3"} if name == "import" else set()), (name, left)
        (tmp_path / "new" / "tasks.sqlite3").unlink(missing_ok=True)
    assert names_in(home) == before


@pytest.mark.parametrize("out", ["/dev/full", "-"])
async def test_an_export_to_a_full_device_says_so(home: Path, out: str) -> None:
    """F3: the error of a write, which names no file, names the output; the exit code is 2."""
    ended = await run("-c", _TO_FULL, "export", "--data-dir", str(home), out)

    assert ended.code == 2, ended.err
    assert "No space left" in ended.err
    assert "free some space" in ended.err
    assert "Traceback" not in ended.err


async def test_a_failed_write_of_a_part_is_not_an_error_of_the_backup(
    home: Path, tmp_path: Path
) -> None:
    """F3: when the parts of a backup cannot be written, the backup is not blamed."""
    out = tmp_path / "whole.tar"
    assert (await run(*COMMAND, "backup", "--data-dir", str(home), str(out))).code == 0

    with pytest.raises(OSError, match="No space left"):
        await asyncio.to_thread(copy_parts, out, lambda _name: _FULL.open("wb"))


def test_a_replaced_file_is_synced_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: content, rename and folder reach the disk in this order; the mode is 0600."""
    out = tmp_path / "out"
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, out.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with private_files.replaced_privately(out) as file:
        file.write(b"text")

    assert synced == [(False, False), (True, True)]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_new_data_directory_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F5: the names of a new folder, of its new parents and of the database are synced."""
    synced: list[Path] = []
    for module in (private_files, database_file):
        monkeypatch.setattr(module, "fsync_path", synced.append)

    database_file.lock_file(tmp_path / "a" / "b" / "tasks.sqlite3").close()

    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}


def test_a_read_only_data_directory_is_read_as_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F4: where no file can be made, a database without a WAL is exported, and no file is made."""
    before = names_in(home)
    made: set[str] = set()
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != home)

    for _line in export_lines(home / "tasks.sqlite3", SCHEMA):
        made |= names_in(home) - before

    assert made == set()
