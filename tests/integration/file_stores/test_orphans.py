"""Files that no row names are deleted after a day, where servers share the files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.file_stores.s3.location import parse_s3_url
from phoenix_compat.tasks.model.inputs.file_inputs import upload_reference
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.pruning import FEW_ORPHANS, ORPHAN_AGE_S, prune_orphans
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.file_stores.places import PNG, ClockAhead
from tests.integration.uploads.photo import photo
from tests.integration.worker.worker_harness import SCHEMA, task_params

DAY_S = 86_400.0


@dataclass
class Scene:
    """A store, and the archive of one server."""

    tasks: TaskStore
    uploads: UploadStore
    archive: Archive
    clock: ClockAhead

    async def keep(self, content: str) -> str:
        """Keep an output; returns its hash."""
        incoming = self.archive.files.incoming()
        await asyncio.to_thread(incoming.write, content.encode())
        stored = await self.archive.files.commit(incoming, PNG)
        await asyncio.to_thread(incoming.discard)
        return stored.sha256

    async def complete(self, sha256: str) -> None:
        """Complete a task that has this file."""
        queued = await self.tasks.add(task_params(prompt=sha256))
        submitting = await self.tasks.move(queued, TaskStatus.SUBMITTING)
        assert submitting is not None
        running = await self.tasks.move(submitting, TaskStatus.RUNNING, prediction_id=sha256[:10])
        assert running is not None
        files = ({"sha256": sha256, "bytes": 1, "content_type": "image/png", "path": "x"},)
        await self.tasks.move(running, TaskStatus.COMPLETED, result_data={}, files=files)

    async def left(self, hashes: Sequence[str]) -> list[bool]:
        """Which of these files are stored."""
        return [await self.archive.find(one) is not None for one in hashes]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Files in a shared folder."""
    clock = ClockAhead()
    archive = Archive(tmp_path / "files", is_shared=True, clock=clock, min_free_bytes=0)
    await archive.open()
    async with await open_task_store(tmp_path / "tasks.db", SCHEMA, clock=clock) as store:
        yield Scene(store, UploadStore(store, clock=clock), archive, clock)
    await archive.close()


async def test_only_what_no_row_names_is_deleted(scene: Scene) -> None:
    """Outputs of tasks, and files that clients have sent, stay."""
    named, orphan = await scene.keep("named"), await scene.keep("orphan")
    await scene.complete(named)
    async with scene.archive.inputs.receiving(10**6) as incoming:
        await asyncio.to_thread(incoming.write, photo())
        sent = (await incoming.keep(partial(scene.uploads.add, "ada"))).sha256
    await scene.tasks.add(task_params(image=upload_reference(sent)), owner="ada")
    early = await prune_orphans(scene.tasks, scene.archive)
    scene.clock.ahead_s = ORPHAN_AGE_S + 10.0

    freed = await prune_orphans(scene.tasks, scene.archive)

    assert (early, freed) == (0, len("orphan"))
    assert await scene.left([named, sent, orphan]) == [True, True, False]


async def test_a_file_that_is_used_just_now_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server begins to use it after the rows were read."""
    orphan = await scene.keep("orphan")
    scene.clock.ahead_s = ORPHAN_AGE_S + 10.0
    read = scene.tasks.shared_hashes

    async def read_before_use(hashes: frozenset[str], numbers: Sequence[int]) -> frozenset[str]:
        named = await read(hashes, numbers)
        assert await scene.archive.inputs.touch(orphan)
        return named

    monkeypatch.setattr(scene.tasks, "shared_hashes", read_before_use)
    freed = await prune_orphans(scene.tasks, scene.archive)

    assert (freed, await scene.left([orphan])) == (0, [True])


async def test_files_of_another_database_stay(scene: Scene) -> None:
    """If most of them seem to be orphans, something is wrong, and nothing is deleted."""
    orphans = [await scene.keep(f"orphan {number}") for number in range(FEW_ORPHANS + 1)]
    scene.clock.ahead_s = ORPHAN_AGE_S + 10.0

    freed = await prune_orphans(scene.tasks, scene.archive)

    assert (freed, await scene.left(orphans)) == (0, [True] * len(orphans))


async def test_orphans_in_a_bucket(tmp_path: Path, s3_url: str) -> None:
    """A server that was killed between the file and the row; the bucket's clock decides."""
    clock = ClockAhead()
    archive = Archive(tmp_path, bucket=parse_s3_url(s3_url), clock=clock, min_free_bytes=0)
    await archive.open()
    async with await open_task_store(tmp_path / "tasks.db", SCHEMA, clock=clock) as store:
        scene = Scene(store, UploadStore(store), archive, clock)
        orphan = await scene.keep("orphan")
        clock.ahead_s = ORPHAN_AGE_S + 10.0

        freed = await prune_orphans(store, archive)

        assert (freed, await scene.left([orphan])) == (0, [True])
    await archive.close()
