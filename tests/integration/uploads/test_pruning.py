"""Files of clients are deleted a day after their last use, unless a task has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.file_inputs import upload_reference
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.pruning import prune_tasks, prune_uploads
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.uploads.photo import photo
from tests.integration.worker.worker_harness import SCHEMA, task_params


class LateClock(SystemClock):
    """A clock that can be moved."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Parts(NamedTuple):
    """A store with its files."""

    tasks: TaskStore
    uploads: UploadStore
    archive: Archive
    clock: LateClock

    async def send(self, seed: int = 1, owner: str = "ada") -> str:
        """Store a photo of an owner; returns its hash."""
        async with self.archive.inputs.receiving(10**6) as incoming:
            await asyncio.to_thread(incoming.write, photo(seed=seed))
            return (await incoming.keep(partial(self.uploads.add, owner))).sha256

    async def add(self, sha256: str, owner: str = "ada") -> str:
        """Add a task that uses a photo; returns its id."""
        params = task_params(image=upload_reference(sha256))
        return (await self.tasks.add(params, owner=owner)).id

    async def is_stored(self, sha256: str) -> bool:
        return await self.archive.inputs.find(sha256) is not None

    async def prune(self) -> int:
        """Prune as the hourly maintenance does."""
        before = self.clock.now() - timedelta(days=1)
        return await prune_uploads(self.uploads, self.tasks, self.archive, before)

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.clock.ahead += timedelta(**time)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    """An empty store."""
    async with _open(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[Parts]:
    clock = LateClock()
    archive = Archive(folder / "files", clock=clock, min_free_bytes=0)
    await archive.open()
    async with await open_task_store(folder / "tasks.db", SCHEMA, clock=clock) as store:
        yield Parts(store, UploadStore(store, clock=clock), archive, clock)
    await archive.close()


async def test_an_unused_file_is_deleted_after_a_day(parts: Parts) -> None:
    """Not before; and its id is unknown then."""
    sha256 = await parts.send()
    parts.wait(hours=23)
    early = await parts.prune()
    parts.wait(hours=2)

    late = await parts.prune()

    assert (early, late) == (0, 1)
    assert not await parts.is_stored(sha256)
    with pytest.raises(InvalidInputError, match="no file with this id"):
        await parts.add(sha256)


async def test_sending_a_file_again_keeps_it(parts: Parts) -> None:
    """The day begins anew."""
    sha256 = await parts.send()
    parts.wait(hours=23)
    await parts.send()
    parts.wait(hours=2)

    assert await parts.prune() == 0
    assert await parts.is_stored(sha256)


async def test_a_file_of_a_task_stays_as_long_as_the_task(parts: Parts) -> None:
    """It is deleted once the task was, a day after its last use."""
    sha256 = await parts.send()
    task_id = await parts.add(sha256)
    parts.wait(days=3)
    used = await parts.prune()
    task = await parts.tasks.get(task_id)
    assert task is not None
    await parts.tasks.move(task, TaskStatus.FAILED, error_data={"code": "canceled"})
    parts.wait(days=3)

    await prune_tasks(parts.tasks, parts.archive, parts.clock.now() - timedelta(days=1))
    after_the_task = await parts.is_stored(sha256)
    unused = await parts.prune()

    assert (used, after_the_task, unused) == (0, True, 1)
    assert not await parts.is_stored(sha256)


async def test_a_file_of_two_owners_stays_for_the_other(parts: Parts) -> None:
    """One copy for both; the one who has not sent it lately must send it again."""
    sha256 = await parts.send()
    parts.wait(hours=23)
    await parts.send(owner="bob")
    parts.wait(hours=2)

    assert await parts.prune() == 1

    await parts.add(sha256, owner="bob")
    with pytest.raises(InvalidInputError):
        await parts.add(sha256, owner="ada")


async def test_a_file_that_was_never_stored_leaves_no_record_for_ever(parts: Parts) -> None:
    """As after a kill between the record and the file."""
    await parts.uploads.add("ada", "0" * 64, "image/jpeg", 10)
    parts.wait(hours=25)

    assert await parts.prune() == 1
    assert await parts.prune() == 0


async def unfinished_in(folder: Path) -> list[Path]:
    """The files that have not arrived completely."""
    return await asyncio.to_thread(lambda: list((folder / "files" / "incoming").iterdir()))


async def test_a_kill_while_a_file_arrives_leaves_nothing(tmp_path: Path) -> None:
    """The next start deletes the beginning of it."""
    async with _open(tmp_path) as parts:
        unfinished = parts.archive.inputs.receiving(10**6)
        incoming = await unfinished.__aenter__()
        await asyncio.to_thread(incoming.write, photo()[:1_000])
        unfinished_files = await unfinished_in(tmp_path)

        await parts.archive.close()
        await parts.archive.open()

        assert len(unfinished_files) == 1
        assert await unfinished_in(tmp_path) == []
        await unfinished.__aexit__(None, None, None)


async def test_files_of_nobody_are_adopted(parts: Parts) -> None:
    """With the tasks of nobody in particular, also where the owner has the same file."""
    first, second = await parts.send(owner=""), await parts.send(2, owner="")
    await parts.send(owner="ada")
    await parts.add(first, owner="")

    await parts.tasks.adopt("ada")

    await parts.add(first)
    await parts.add(second)
    with pytest.raises(InvalidInputError):
        await parts.add(first, owner="")
