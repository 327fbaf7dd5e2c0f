"""Two nodes with one bucket: a photo arrives at one, the other edits it, and both show it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.server.http.files import add_file_routes, file_url, thumbnail_url
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location, parse_s3_url
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.errors import InputsUnavailableError
from phoenix_compat.tasks.model.inputs.file_inputs import upload_reference
from phoenix_compat.tasks.model.prediction import PredictionState
from phoenix_compat.tasks.provider.input_files import InputFiles
from phoenix_compat.tasks.provider.replicate.files import ReplicateFiles
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.pruning import prune_uploads
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sent_file_store import SentFileStore
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.archive.archive_harness import files_in, opened
from tests.integration.file_stores.places import FAST
from tests.integration.task_server import SPEED
from tests.integration.task_types.edited import assert_edit_of
from tests.integration.uploads.photo import EDIT_MODEL, data_url, photo
from tests.integration.worker.worker_harness import SCHEMA
from tests.patience import patient
from tests.services.network import open_network
from tests.services.s3 import make_bucket
from tests.serving import serving
from tests.unit.tasks.sample_tasks import make_task

TOKEN = "r8_test"
LARGE = 700
"""The side of a photo of more than 256 kB, in pixels."""


@pytest.fixture
async def replicate() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(speed=SPEED)) as emulator:
        yield emulator


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TaskStore]:
    """The database of both nodes."""
    async with await open_task_store(tmp_path / "tasks.db", SCHEMA) as opened_store:
        yield opened_store


class Node:
    """What a node has of the files; its folder is its own, the bucket and database are shared."""

    def __init__(
        self, archive: Archive, store: TaskStore, replicate: Emulator, origin: str
    ) -> None:
        self.archive = archive
        self.origin = origin
        self.uploads = UploadStore(store)
        inputs = InputFiles(
            archive.inputs.find,
            ReplicateFiles(TOKEN, replicate.base_url),
            SentFileStore(store),
        )
        self.provider = ReplicateProvider(
            token=TOKEN, base_url=replicate.base_url, input_files=inputs
        )

    @classmethod
    @asynccontextmanager
    async def of(
        cls, folder: Path, bucket: S3Location, store: TaskStore, replicate: Emulator
    ) -> AsyncIterator[Node]:
        """A running node."""
        app = web.Application()
        async with opened(folder, replicate.origin, bucket=bucket) as archive:
            add_file_routes(app, archive)
            async with serving(app) as origin:
                node = cls(archive, store, replicate, origin)
                yield node
                await node.provider.close()

    async def receive(self, content: bytes) -> str:
        """Store a photo of Ada's; returns its reference."""
        async with self.archive.inputs.receiving(10**7) as incoming:
            await asyncio.to_thread(incoming.write, content)
            stored = await incoming.keep(partial(self.uploads.add, "ada"))
        return upload_reference(stored.sha256)

    async def edit(self, reference: str) -> StoredFile:
        """Run a task that edits a photo; returns its picture."""
        inputs = {"prompt": "Make it a painting", "image_input": [reference]}
        task = make_task(provider_input=inputs, provider_model=EDIT_MODEL)
        ref = await self.provider.submit(task)
        async with asyncio.timeout(patient(10.0)):
            found = await self.provider.fetch(ref)
            while found.state is not PredictionState.SUCCEEDED:
                await asyncio.sleep(0.05)
                found = await self.provider.fetch(ref)
        (stored,) = await self.archive.keep(task, [str(found.output)])
        return stored

    async def get(self, url: str) -> bytes:
        """What a client of this node gets."""
        async with aiohttp.request("GET", url) as answer:
            assert answer.status == 200
            return await answer.read()


@pytest.mark.parametrize("side_px", [64, LARGE])
async def test_a_photo_is_edited_by_the_other_node(
    tmp_path: Path, s3_url: str, store: TaskStore, replicate: Emulator, side_px: int
) -> None:
    """Small ones are sent inline, large ones as a copy; the nodes keep nothing themselves."""
    bucket = parse_s3_url(s3_url)
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(Node.of(tmp_path / name, bucket, store, replicate))
            for name in ("first", "second")
        ]
        reference = await first.receive(photo(side_px))
        assert await second.archive.inputs.touch(reference.removeprefix("upload:"))

        edited = await second.edit(reference)

        shown = [await node.get(file_url(node.origin, edited)) for node in (first, second)]
        thumbnail = thumbnail_url(first.origin, edited)
        assert thumbnail is not None
        assert (await first.get(thumbnail))[8:12] == b"WEBP"
        assert shown[0] == shown[1]
        copies = [one.content for one in replicate.state.uploads.newest_first()]
        (prediction,) = replicate.state.predictions
        if side_px == LARGE:
            await asyncio.to_thread(assert_edit_of, photo(side_px), shown[0])
            assert copies == [photo(side_px)]
        else:
            assert prediction.input["image_input"] == [data_url(photo(side_px))]
            assert copies == []
    left = await asyncio.to_thread(files_in, tmp_path)
    assert {name.partition(".")[0] for name in left} == {"tasks"}


async def test_both_nodes_get_the_same_photo_and_one_forgets_it(
    tmp_path: Path, s3_url: str, store: TaskStore, replicate: Emulator
) -> None:
    """Pruning on one node leaves a file that the other one has just got again."""
    bucket = parse_s3_url(s3_url)
    async with (
        Node.of(tmp_path / "first", bucket, store, replicate) as first,
        Node.of(tmp_path / "second", bucket, store, replicate) as second,
    ):
        references = await asyncio.gather(first.receive(photo()), second.receive(photo()))
        assert len(set(references)) == 1
        sha256 = references[0].removeprefix("upload:")

        now = first.uploads._clock.now()
        await prune_uploads(first.uploads, store, first.archive, now)

        assert await second.archive.inputs.find(sha256) is not None
        assert (first.archive.inputs.counts + second.archive.inputs.counts)["kept"] >= 1


async def test_while_the_bucket_is_away_nothing_is_sent(
    tmp_path: Path,
    s3_port: int,
    store: TaskStore,
    replicate: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The create may be repeated, and the provider is not blamed."""
    init = Bucket.__init__

    def impatient(self: Bucket, location: S3Location) -> None:
        init(self, location, FAST)

    monkeypatch.setattr(Bucket, "__init__", impatient)
    async with open_network("127.0.0.1", s3_port) as network:
        bucket = parse_s3_url(make_bucket(s3_port, network.port))
        async with Node.of(tmp_path / "node", bucket, store, replicate) as node:
            reference = await node.receive(photo())
            network.break_connections(refuse=True)
            with pytest.raises(InputsUnavailableError):
                await node.edit(reference)
            network.heal()

            edited = await node.edit(reference)

    assert edited.content_type.startswith("image/")
    assert len(replicate.state.predictions) == 1
