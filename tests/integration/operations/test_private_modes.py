"""Files and folders of the server can be read only by its own user, whatever the umask."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from phoenix_compat.operations.doctor.doctor import check_data_dir
from phoenix_compat.private_files import make_private_folder, open_private, replaced_privately
from phoenix_compat.server.process.settings import Settings
from tests.integration.operations.commands import run, server
from tests.integration.task_server import Client

_WITH_UMASK = (
    "import os, runpy, sys; os.umask(int(sys.argv.pop(1), 8)); "
    "runpy.run_module('phoenix_compat', run_name='__main__', alter_sys=True)"
)
FILE, FOLDER = 0o600, 0o700


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def too_open(*folders: Path) -> dict[str, str]:
    """What in and below the folders is not private: the name and the mode."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    assert len(paths) > len(folders), "the folders are empty"
    return {
        path.name: oct(mode_of(path))
        for path in paths
        if mode_of(path) != (FOLDER if path.is_dir() else FILE)
    }


@pytest.mark.parametrize(
    ("umask", "workers"),
    [
        pytest.param("000", "1", marks=pytest.mark.long),
        pytest.param("022", "1", marks=pytest.mark.long),
        ("000", "2"),
    ],
)
async def test_everything_that_the_commands_write_is_private(
    tmp_path: Path, umask: str, workers: str
) -> None:
    """A running server's data directory, its backup, a restored one, an export and a configuration
    are for their owner only, with every file in them."""
    command = ("-c", _WITH_UMASK, umask)
    home, restored, config = tmp_path / "new" / "data", tmp_path / "restored", tmp_path / "etc"
    backup, export = tmp_path / "backup.tar", tmp_path / "export.jsonl"
    data = ("--data-dir", str(home))
    serve = (*command, "serve", "--port", "0", "--workers", workers, *data)
    async with (
        server(*serve, PHOENIX_COMPAT_EMULATOR_SPEED="50") as (_, url),
        Client.of(url) as client,
    ):
        assert (await client.ended(await client.post()))["status"] == "completed"
        while_running = too_open(tmp_path / "new")
        done = [
            await run(*command, "backup", *data, str(backup)),
            await run(*command, "export", *data, str(export)),
            await run(*command, "init", "--yes", "--config", str(config / "new.toml")),
            await run(
                *(*command, "demo", "--url", url, "--out", str(tmp_path / "demo" / "pictures"))
            ),
        ]
    done += [
        await run(*command, "restore", "--data-dir", str(restored), str(backup)),
        await run(*command, "import", "--data-dir", str(tmp_path / "imported"), str(export)),
    ]

    assert [one.err for one in done if one.code != 0] == []
    assert while_running == {}
    assert too_open(*(tmp_path / name for name in ("new", "restored", "etc", "demo"))) == {}
    assert too_open(tmp_path / "imported") == {}
    assert {mode_of(backup), mode_of(export)} == {FILE}
    names = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert {".sqlite3", ".lock", ".jsonl", ".webp"} <= names


async def test_an_open_data_directory_is_named_and_left_alone(tmp_path: Path) -> None:
    """An old data directory keeps its mode; the start logs one line with the command, and the
    doctor says the same."""
    home = tmp_path / "data"
    home.mkdir()
    home.chmod(0o755)
    serve = ("-m", "phoenix_compat", "serve", "--port", "0", "--data-dir", str(home))

    async with server(*serve) as (process, _):
        process.terminate()
        assert process.stderr is not None
        log = (await process.stderr.read()).decode()
        await process.wait()
    finding = await asyncio.to_thread(check_data_dir, Settings(data_dir=home))
    home.chmod(0o750)
    closed = await asyncio.to_thread(check_data_dir, Settings(data_dir=home))

    assert log.count("file.exposed") == 1
    assert f"chmod o-rwx {home}" in log
    assert (finding.status, finding.remedy) == ("warn", f"chmod o-rwx {home}")
    assert "mode 0755" in finding.detail
    assert closed.status == "ok"


def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    """Access that an operator has given to a group is not taken away."""
    folder, file = tmp_path / "shared", tmp_path / "shared" / "export.jsonl"
    folder.mkdir()
    folder.chmod(0o750)
    file.touch()
    file.chmod(0o640)

    assert make_private_folder(folder) == ()
    with replaced_privately(file) as writing:
        writing.write(b"1\n")
    with open_private(file, "ab") as adding:
        adding.write(b"2\n")

    assert (mode_of(folder), mode_of(file), file.read_bytes()) == (0o750, 0o640, b"1\n2\n")


def test_a_file_that_cannot_be_completed_is_not_replaced(tmp_path: Path) -> None:
    """The old content stays, and nothing is left beside it."""
    file = tmp_path / "export.jsonl"
    file.write_text("old")

    with pytest.raises(TypeError), replaced_privately(file) as writing:
        writing.writelines([b"new", None])  # type: ignore[list-item]  # fails while writing

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_device_and_a_link_are_written_to(tmp_path: Path) -> None:
    """`export /dev/null` does not replace the device, and a symbolic link stays one."""
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)

    with replaced_privately(Path("/dev/null")) as nothing:
        nothing.write(b"gone")
    with replaced_privately(link) as writing:
        writing.write(b"kept")

    assert Path("/dev/null").is_char_device()
    assert (link.is_symlink(), target.read_bytes(), mode_of(target)) == (True, b"kept", FILE)


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """It is not taken for a folder."""
    (tmp_path / "file").touch()

    with pytest.raises(FileExistsError):
        make_private_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        make_private_folder(tmp_path / "file" / "below")
