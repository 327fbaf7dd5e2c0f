"""Keeping copies: before the end is told, and never at the price of the result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.errors import ArchiveError, ArchiveFullError, FileGoneError
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker import context
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import PICTURE, FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import open_workshop

OTHER = "https://replicate.delivery/xezq/out-1.jpg"


def stored(url: str) -> StoredFile:
    return StoredFile(
        sha256="a" * 64,
        size_bytes=3,
        content_type="image/jpeg",
        path="aa/aa/a.jpg",
        source_url=url,
    )


class FakeArchive:
    """Keeps nothing, or fails; it notes what it was given."""

    def __init__(self, error: Exception | None = None, *, is_stuck: bool = False) -> None:
        self.asked: list[tuple[TaskStatus, tuple[str, ...]]] = []
        self._error = error
        self._is_stuck = is_stuck

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """See `Archive`."""
        self.asked.append((task.status, tuple(urls)))
        if self._is_stuck:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return [stored(url) for url in urls]


def test_the_archive_fits_the_worker(tmp_path: Path) -> None:
    """The seam is the archive's own method; the type checker agrees."""
    seam: context.Archive = Archive(tmp_path)

    assert isinstance(seam, Archive)


async def run(path: Path, archive: FakeArchive) -> Task:
    provider = FakeProvider(submit=[ref()], fetch=[succeeded([PICTURE, OTHER])])
    options = WorkerOptions(archive_patience_s=0.05)
    async with open_workshop(path, provider, FakeClock(), options, archive=archive) as workshop:
        task = await workshop.run()
        failures = 0 if len(task.files) == 2 else 1
        assert workshop.worker.counts.get("archive_failures", 0) == failures
        return task


async def test_copies_are_there_when_the_end_is_told(path: Path) -> None:
    """All outputs are copied while the task still runs; the row says where they are."""
    archive = FakeArchive()

    task = await run(path, archive)

    assert archive.asked == [(TaskStatus.RUNNING, (PICTURE, OTHER))]
    assert task.files == (stored(PICTURE).document(), stored(OTHER).document())


@pytest.mark.parametrize(
    "archive",
    [
        FakeArchive(ArchiveFullError("no room")),
        FakeArchive(FileGoneError("replicate.delivery", 404)),
        FakeArchive(OSError(28, "No space left on device")),
        FakeArchive(is_stuck=True),
    ],
    ids=["full", "gone", "disk", "stuck"],
)
async def test_a_failed_copy_loses_no_result(path: Path, archive: FakeArchive) -> None:
    """The task completes with the provider's addresses, and the failure is counted."""
    task = await run(path, archive)

    assert task.status is TaskStatus.COMPLETED
    assert task.result_data is not None
    assert task.result_data["image_urls"] == [PICTURE, OTHER]
    assert task.files == ()


async def test_what_was_kept_beside_a_failure_counts(path: Path) -> None:
    """One of two files is better than none."""
    error = ArchiveError("one is gone")
    error.kept = (None, stored(OTHER))

    task = await run(path, FakeArchive(error))

    assert task.files == (stored(OTHER).document(),)
