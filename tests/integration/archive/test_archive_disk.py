"""The archive and its disk: full disks, crashes, damage, and files that are too old to keep."""

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
    SteeredClock,
    files_in,
    host,
    opened,
    refusal,
)

_DIES_AT_THE_RENAME = """
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
    """A host whose files have as many bytes as their path says, each with other content."""

    async def file(request: web.Request) -> web.Response:
        name, size = request.path.strip("/").split("/")
        return web.Response(body=(PNG + name.encode()).ljust(int(size), b"."))

    async with host(file) as origin:
        yield origin


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 512 KiB; skipped where none can be mounted."""
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


async def test_a_full_disk_says_so(small_disk: Path) -> None:
    """The error names the folder, nothing half done stays, and there is room again afterwards."""
    async with sized_files() as origin, opened(small_disk / "files", origin) as archive:
        (small,) = await archive.keep(TASK, [f"{origin}/a/100000"])

        error = await refusal(archive, f"{origin}/b/900000")
        (other,) = await archive.keep(TASK, [f"{origin}/c/100000"])

        assert isinstance(error, ArchiveFullError)
        assert str(small_disk) in str(error)
        assert archive.counts.failures == {"full": 1}
        assert files_in(small_disk / "files") == sorted([small.path, other.path])


async def test_a_disk_that_fills_up_meanwhile(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody else takes the room in between, the write itself fails as clearly."""
    full_of = shutil.disk_usage(small_disk)._replace(free=2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: full_of)
    async with sized_files() as origin, opened(small_disk / "files", origin) as archive:
        error = await refusal(archive, f"{origin}/a/900000")

    assert isinstance(error, ArchiveFullError)
    assert isinstance(error.__cause__, OSError)
    assert files_in(small_disk / "files") == []


async def test_some_of_the_disk_is_left_to_others(tmp_path: Path) -> None:
    """Below the floor nothing is fetched at all."""
    async with sized_files() as origin, opened(tmp_path, origin, min_free_bytes=2**62) as archive:
        error = await refusal(archive, f"{origin}/a/100")

    assert isinstance(error, ArchiveFullError)
    assert "left for others" in str(error)
    assert files_in(tmp_path) == []


async def test_a_kill_before_the_rename_leaves_nothing_visible(tmp_path: Path) -> None:
    """The bytes of a killed server have no name, and the next start removes them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _DIES_AT_THE_RENAME, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    await process.communicate()
    left = files_in(tmp_path)

    async with opened(tmp_path) as archive:
        assert (archive.total_bytes, files_in(tmp_path)) == (0, [])
    assert process.returncode == -signal.SIGKILL
    assert [path.partition("/")[0] for path in left] == ["incoming"]


async def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    """Keeping content again heals the file that should have it."""
    async with sized_files() as origin, opened(tmp_path, origin) as archive:
        (stored,) = await archive.keep(TASK, [f"{origin}/a/1000"])
        path = tmp_path / stored.path
        path.write_bytes(b"<script>" + path.read_bytes()[8:])

        (again,) = await archive.keep(TASK, [f"{origin}/a/1000"])

        assert (again.path, path.read_bytes()[: len(PNG)]) == (stored.path, PNG)
        assert (archive.counts.kept, archive.total_bytes) == (2, 1000)


async def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """Neither when files are looked up nor when they are written."""
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


async def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """It is refused at the start, by its name."""
    (tmp_path / "files").write_text("not a folder")
    archive = Archive(tmp_path / "files")

    with pytest.raises(ArchiveFolderError, match="files"):
        await archive.open()


async def test_pruning_by_age(tmp_path: Path) -> None:
    """Old files go with their thumbnails; a file that was kept again is young again."""
    clock = SteeredClock()
    async with sized_files() as origin, opened(tmp_path, origin, clock=clock) as archive:
        await archive.keep(TASK, [f"{origin}/a/100", f"{origin}/b/100"])
        clock.advance(7 * 86_400)
        await archive.keep(TASK, [f"{origin}/b/100", f"{origin}/c/100"])
        clock.advance(4_000)

        pruned = await archive.prune(older_than_s=86_400)
        then_nothing = await archive.prune(older_than_s=86_400)

        assert (pruned, then_nothing, archive.counts.pruned) == (1, 0, 1)
        assert (len(files_in(tmp_path)), archive.total_bytes) == (2, 200)


async def test_pruning_by_size(tmp_path: Path) -> None:
    """The oldest go until the rest fits, and the grace period saves the youngest."""
    clock = SteeredClock()
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


async def test_a_thumbnail_goes_with_its_file(tmp_path: Path) -> None:
    """Pruning leaves no thumbnail without its file, and counts both."""
    red = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMB"
        "AQDJ/pLvAAAAAElFTkSuQmCC"
    )
    clock = SteeredClock()
    async with opened(tmp_path, clock=clock) as archive:
        (stored,) = await archive.keep(TASK, [red])
        size_bytes = archive.total_bytes
        clock.advance(4_000)

        await archive.prune(keep_bytes=0)

        assert stored.thumbnail_path is not None
        assert (size_bytes > stored.size_bytes, archive.total_bytes) == (True, 0)
    assert files_in(tmp_path) == []


async def test_the_oldest_make_room_for_the_newest(tmp_path: Path) -> None:
    """With a limit on the whole, old files go when new ones come; young ones are not given up."""
    clock = SteeredClock()
    options = {"clock": clock, "max_total_bytes": 250}
    async with sized_files() as origin, opened(tmp_path, origin, **options) as archive:
        await archive.keep(TASK, [f"{origin}/a/100", f"{origin}/b/100"])

        refused = await refusal(archive, f"{origin}/c/100")
        clock.advance(4_000)
        await archive.keep(TASK, [f"{origin}/c/100"])

        assert isinstance(refused, ArchiveFullError)
        assert (archive.total_bytes, archive.counts.pruned) == (200, 1)


async def test_what_is_there_is_counted_at_the_start(tmp_path: Path) -> None:
    """A new start knows what the old one kept."""
    async with sized_files() as origin:
        async with opened(tmp_path, origin) as before:
            (stored,) = await before.keep(TASK, [f"{origin}/a/1000"])
        async with opened(tmp_path, origin) as after:
            assert after.total_bytes == 1000
            assert await after.path_of(stored.name) == tmp_path / stored.path
