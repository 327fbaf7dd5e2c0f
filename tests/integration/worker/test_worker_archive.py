"""Copies of output files: stored before the task ends; a failed copy does not fail the task."""

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
from tests.integration.worker.worker_harness import open_worker_harness

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
    """Pretends to store files, fails, or never answers.

    Attributes:
        asked: for each call, the task's status and the URLs.
    """

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


def test_the_archive_implements_the_worker_s_protocol(tmp_path: Path) -> None:
    """The type checker accepts the archive as the one that the worker expects."""
    expected: context.Archive = Archive(tmp_path)

    assert isinstance(expected, Archive)


async def run(path: Path, archive: FakeArchive) -> Task:
    provider = FakeProvider(submit=[ref()], fetch=[succeeded([PICTURE, OTHER])])
    options = WorkerOptions(archive_patience_s=0.05)
    async with open_worker_harness(
        path, provider, FakeClock(), options, archive=archive
    ) as harness:
        task = await harness.run()
        failures = 0 if len(task.files) == 2 else 1
        assert harness.worker.counts.get("archive_failures", 0) == failures
        return task


async def test_files_are_stored_before_the_task_is_completed(path: Path) -> None:
    """All output files are copied while the task is running, and the row lists the copies."""
    archive = FakeArchive()

    task = await run(path, archive)

    assert archive.asked == [(TaskStatus.RUNNING, (PICTURE, OTHER))]
    assert task.files == (stored(PICTURE).document(), stored(OTHER).document())


@pytest.mark.parametrize(
    "archive",
    [
        FakeArchive(ArchiveFullError("full")),
        FakeArchive(FileGoneError("replicate.delivery", 404)),
        FakeArchive(OSError(28, "No space left on device")),
        FakeArchive(is_stuck=True),
    ],
    ids=["full", "gone", "disk", "stuck"],
)
async def test_a_failed_copy_does_not_lose_the_result(path: Path, archive: FakeArchive) -> None:
    """The task is completed with the provider's URLs, and the failure is counted."""
    task = await run(path, archive)

    assert task.status is TaskStatus.COMPLETED
    assert task.result_data is not None
    assert task.result_data["image_urls"] == [PICTURE, OTHER]
    assert task.files == ()


async def test_files_stored_before_a_failure_are_listed(path: Path) -> None:
    """If one of two files cannot be stored, the row lists the other."""
    error = ArchiveError("one is gone")
    error.kept = (None, stored(OTHER))

    task = await run(path, FakeArchive(error))

    assert task.files == (stored(OTHER).document(),)
