"""Where the sockets of the worker processes are."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.cluster.workers.reservation import PREFIX, reserved
from phoenix_compat.cluster.workers.worker_process import usable_folder
from phoenix_compat.errors import ConfigError
from tests.unit.cluster.harness import RecordingListener


def folders_in(place: Path) -> list[str]:
    """The folders for sockets in a folder."""
    return [one.name for one in place.glob(f"{PREFIX}*")]


async def test_sockets_work_in_a_data_directory_with_a_long_path(tmp_path: Path) -> None:
    """E5: a path of 140 bytes and more does not matter; the folder is removed at the end."""
    data_dir = tmp_path / ("d" * 140)
    data_dir.mkdir()
    async with reserved("127.0.0.1", 0, 2, data_dir) as worker_process:
        assert worker_process.path.parent == data_dir
        with usable_folder(worker_process.path) as short:
            async with UnixBus(short, 0, 2) as one, UnixBus(short, 1, 2):
                assert await RecordingListener(one).next() == ("up", 1)

    assert await asyncio.to_thread(folders_in, data_dir) == []


async def test_what_a_killed_supervisor_left_is_removed(tmp_path: Path) -> None:
    """E5: a folder whose supervisor is gone is removed, the folder of another one is not."""
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "lock").touch()
    async with (
        reserved("127.0.0.1", 0, 1, tmp_path) as first,
        reserved("127.0.0.1", 0, 1, tmp_path) as second,
    ):
        found = await asyncio.to_thread(folders_in, tmp_path)

        assert sorted(found) == sorted([first.path.name, second.path.name])


async def test_another_place_is_used_where_sockets_cannot_be(tmp_path: Path) -> None:
    """E5: if the data directory cannot have the folder, it is among the temporary files."""
    file = tmp_path / "data"
    file.touch()

    async with reserved("127.0.0.1", 0, 1, file) as worker_process:
        assert worker_process.path.parent == Path(tempfile.gettempdir())


async def test_no_place_for_sockets_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5: without any place the error names those that were tried, and the remedy."""

    def no_temporary_folder() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in []")

    monkeypatch.setattr(tempfile, "gettempdir", no_temporary_folder)
    file = tmp_path / "data"
    file.touch()

    with pytest.raises(ConfigError, match=r"no place for the sockets .*data.*set TMPDIR"):
        async with reserved("127.0.0.1", 0, 1, file):
            pass
