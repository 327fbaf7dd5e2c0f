"""The archive and its folder: full disks, crashes, damaged files, and pruning."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.errors import ArchiveFolderError, ArchiveFullError
from tests.integration.archive.archive_harness import (
    PNG,
    TASK,
    ManualClock,
    files_in,
    host,
    opened,
    refusal,
)

KILLED_AT_THE_RENAME = """
import asyncio, os, pathlib, signal, sys
from phoenix_compat.tasks.archive.archive import Archive
from tests.integration.archive.archive_harness import PNG, TASK

def die(self, target):
    os.kill(os.getpid(), signal.SIGKILL)

pathlib.Path.replace = die

async def main():
    archive = Archive(pathlib.Path(sys.argv[1]), min_free_bytes=0)
    await archive.open()
    await archive.keep(TASK, ["data:image/png," + "%89PNG%0D%0A%1A%0A"])

asyncio.run(main())
"""


@asynccontextmanager
async def sized_files() -> AsyncIterator[str]:
    """A host with a file for each path /<name>/<size>, of this size and with its own content."""

    async def file(request: web.Request) -> web.Response:
        name, size = request.path.strip("/").split("/")
        return web.Response(body=(PNG + name.encode()).ljust(int(size), b"."))

    async with host(file) as origin:
        yield origin


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 512 KiB; the test is skipped where it cannot be mounted."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder = tmp_path / "small_disk"
    folder.mkdir()
    if mount is None or umount is None or os.name == "nt":
        pytest.skip("small_disk: there is no mount command")
    command = [mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode != 0:
        pytest.skip(f"small_disk: a tmpfs cannot be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run([umount, str(folder)], check=True)  # noqa: S603


async def test_a_full_disk_is_a_clear_error(small_disk: Path) -> None:
    """The error names the folder, no temporary file stays, and smaller files still fit."""
    async with sized_files() as origin, opened(small_disk / "files", origin) as archive:
        (small,) = await archive.keep(TASK, [f"{origin}/a/100000"])

        error = await refusal(archive, f"{origin}/b/900000")
        (other,) = await archive.keep(TASK, [f"{origin}/c/100000"])

        assert isinstance(error, ArchiveFullError)
        assert str(small_disk) in str(error)
        assert archive.counts.failures == {"full": 1}
        assert files_in(small_disk / "files") == sorted([small.path, other.path])


async def test_a_disk_that_fills_up_during_a_write(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the space is used up after the check, the failed write has the same error."""
    usage = shutil.disk_usage(small_disk)._replace(free=2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    async with sized_files() as origin, opened(small_disk / "files", origin) as archive:
        error = await refusal(archive, f"{origin}/a/900000")

    assert isinstance(error, ArchiveFullError)
    assert isinstance(error.__cause__, OSError)
    assert files_in(small_disk / "files") == []


async def test_min_free_bytes_stay_free(tmp_path: Path) -> None:
    """With less free space than that nothing is downloaded."""
    async with sized_files() as origin, opened(tmp_path, origin, min_free_bytes=2**62) as archive:
        error = await refusal(archive, f"{origin}/a/100")

    assert isinstance(error, ArchiveFullError)
    assert "must stay free" in str(error)
    assert files_in(tmp_path) == []


async def test_a_kill_before_the_rename_leaves_no_visible_file(tmp_path: Path) -> None:
    """A killed server leaves only a temporary file, which the next start deletes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_AT_THE_RENAME, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    await process.communicate()
    left = files_in(tmp_path)

    async with opened(tmp_path) as archive:
        assert (archive.total_bytes, files_in(tmp_path)) == (0, [])
    assert process.returncode == -signal.SIGKILL
    assert [path.partition("/")[0] for path in left] == ["incoming"]


async def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    """Keeping the same content again replaces a damaged file."""
    async with sized_files() as origin, opened(tmp_path, origin) as archive:
        (stored,) = await archive.keep(TASK, [f"{origin}/a/1000"])
        path = tmp_path / stored.path
        path.write_bytes(b"<script>" + path.read_bytes()[8:])

        (again,) = await archive.keep(TASK, [f"{origin}/a/1000"])

        assert (again.path, path.read_bytes()[: len(PNG)]) == (stored.path, PNG)
        assert (archive.counts.kept, archive.total_bytes) == (2, 1000)


async def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    """A link in place of a stored file is followed neither for reading nor for writing."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    async with sized_files() as origin, opened(tmp_path / "files", origin) as archive:
        (stored,) = await archive.keep(TASK, [f"{origin}/a/1000"])
        path = tmp_path / "files" / stored.path
        path.unlink()
        path.symlink_to(secret)

        found = await archive.path_of(stored.name)
        await archive.keep(TASK, [f"{origin}/a/1000"])

        assert found is None
        assert await archive.path_of(stored.sha256) == path
    assert (path.is_symlink(), secret.read_bytes()) == (False, b"secret")


async def test_an_unusable_folder_is_an_error(tmp_path: Path) -> None:
    """`open` raises an error that names the folder."""
    (tmp_path / "files").write_text("not a folder")
    archive = Archive(tmp_path / "files")

    with pytest.raises(ArchiveFolderError, match="files"):
        await archive.open()


async def test_files_are_pruned_by_age(tmp_path: Path) -> None:
    """Old files are deleted; a file that was kept again counts as new."""
    clock = ManualClock()
    async with sized_files() as origin, opened(tmp_path, origin, clock=clock) as archive:
        await archive.keep(TASK, [f"{origin}/a/100", f"{origin}/b/100"])
        clock.advance(7 * 86_400)
        await archive.keep(TASK, [f"{origin}/b/100", f"{origin}/c/100"])
        clock.advance(4_000)

        pruned = await archive.prune(older_than_s=86_400)
        pruned_again = await archive.prune(older_than_s=86_400)

        assert (pruned, pruned_again, archive.counts.pruned) == (1, 0, 1)
        assert (len(files_in(tmp_path)), archive.total_bytes) == (2, 200)


async def test_files_are_pruned_by_size(tmp_path: Path) -> None:
    """The oldest files are deleted until the rest fits, except within the grace period."""
    clock = ManualClock()
    async with sized_files() as origin, opened(tmp_path, origin, clock=clock) as archive:
        paths = []
        for name in "abcd":
            (stored,) = await archive.keep(TASK, [f"{origin}/{name}/100"])
            paths.append(stored.path)
            clock.advance(3_000)

        assert await archive.prune(keep_bytes=300) == 1
        assert files_in(tmp_path) == sorted(paths[1:])
        assert await archive.prune(keep_bytes=0) == 2
        assert files_in(tmp_path) == paths[3:]


async def test_a_thumbnail_is_deleted_with_its_file(tmp_path: Path) -> None:
    """The total size counts both, and pruning deletes both."""
    red = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMB"
        "AQDJ/pLvAAAAAElFTkSuQmCC"
    )
    clock = ManualClock()
    async with opened(tmp_path, clock=clock) as archive:
        (stored,) = await archive.keep(TASK, [red])
        size_bytes = archive.total_bytes
        clock.advance(4_000)

        await archive.prune(keep_bytes=0)

        assert stored.thumbnail_path is not None
        assert (size_bytes > stored.size_bytes, archive.total_bytes) == (True, 0)
    assert files_in(tmp_path) == []


async def test_old_files_are_pruned_for_new_ones(tmp_path: Path) -> None:
    """At the size limit old files are deleted; if all are in the grace period, keep fails."""
    clock = ManualClock()
    options = {"clock": clock, "max_total_bytes": 250}
    async with sized_files() as origin, opened(tmp_path, origin, **options) as archive:
        await archive.keep(TASK, [f"{origin}/a/100", f"{origin}/b/100"])

        refused = await refusal(archive, f"{origin}/c/100")
        clock.advance(4_000)
        await archive.keep(TASK, [f"{origin}/c/100"])

        assert isinstance(refused, ArchiveFullError)
        assert (archive.total_bytes, archive.counts.pruned) == (200, 1)


async def test_open_counts_the_stored_files(tmp_path: Path) -> None:
    """After a restart the total size and the files are known."""
    async with sized_files() as origin:
        async with opened(tmp_path, origin) as before:
            (stored,) = await before.keep(TASK, [f"{origin}/a/1000"])
        async with opened(tmp_path, origin) as after:
            assert after.total_bytes == 1000
            assert await after.path_of(stored.name) == tmp_path / stored.path
