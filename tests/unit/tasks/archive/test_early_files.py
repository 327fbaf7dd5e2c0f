"""Files of a prediction that is still running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from phoenix_compat.tasks.archive.early_files import MAX_EARLY_FILES, EarlyFiles
from phoenix_compat.tasks.archive.errors import FileGoneError
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskStatus
from tests.unit.tasks.sample_tasks import make_task


class Scene:
    """Early files with an archive that keeps everything but the files that are gone.

    Attributes:
        asked: the addresses of each call.
        announced: the addresses of each announcement.
        release: set to let the archive answer.
    """

    def __init__(self, *gone: str, patience_s: float = 60.0) -> None:
        self.asked: list[list[str]] = []
        self.announced: list[list[str]] = []
        self.release = asyncio.Event()
        self.release.set()
        self._gone = gone
        self.files = EarlyFiles(
            self, make_task(TaskStatus.RUNNING), self._announce, patience_s=patience_s
        )

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """See Archive."""
        assert task.status is TaskStatus.RUNNING
        self.asked.append(list(urls))
        await self.release.wait()
        kept = tuple(None if url in self._gone else stored(url) for url in urls)
        if None in kept:
            error = FileGoneError("replicate.delivery", 404)
            error.kept = kept
            raise error
        return [file for file in kept if file is not None]

    def _announce(self, documents: Sequence[JSONObject]) -> None:
        self.announced.append([document["source_url"] for document in documents])


def stored(url: str) -> StoredFile:
    """A stored file from this address."""
    return StoredFile(
        sha256="a" * 64, size_bytes=3, content_type="image/png", path="a/a.png", source_url=url
    )


async def test_each_file_is_kept_once() -> None:
    """Polls show all files so far; what is announced is all files that are kept."""
    scene = Scene()
    for urls in (["a"], ["a"], ["a", "b", "c"]):
        scene.files.show(urls)
        await scene.files.settle()

    assert scene.asked == [["a"], ["b", "c"]]
    assert scene.announced == [["a"], ["a", "b", "c"]]
    assert list(scene.files.kept) == ["a", "b", "c"]


async def test_files_wait_for_the_downloads_before_them() -> None:
    """What polls show meanwhile is kept next, all at once."""
    scene = Scene()
    scene.release.clear()
    scene.files.show(["a"])
    await asyncio.sleep(0)
    scene.files.show(["a", "b"])
    scene.files.show(["a", "b", "c"])
    scene.release.set()
    await scene.files.settle()

    assert scene.asked == [["a"], ["b", "c"]]


async def test_a_file_that_cannot_be_kept_is_left_to_the_result() -> None:
    """The others are announced, and it is not tried again before the end."""
    scene = Scene("b")
    scene.files.show(["a", "b", "c"])
    await scene.files.settle()
    scene.files.show(["a", "b", "c"])
    await scene.files.settle()

    assert scene.asked == [["a", "b", "c"]]
    assert scene.announced == [["a", "c"]]


async def test_an_archive_that_does_not_answer_is_left() -> None:
    """The wait has a limit, and the task is closed without waiting."""
    scene = Scene(patience_s=0.01)
    scene.release.clear()
    scene.files.show(["a"])
    await scene.files.settle()
    scene.files.show(["b"])
    await scene.files.close()

    assert scene.announced == []
    assert scene.files.kept == {}


async def test_there_is_a_limit() -> None:
    """Further files come with the result."""
    scene = Scene()
    scene.files.show([str(number) for number in range(MAX_EARLY_FILES + 5)])
    await scene.files.settle()
    scene.files.show(["x"])

    assert len(scene.files.kept) == MAX_EARLY_FILES
    assert len(scene.asked) == 1
