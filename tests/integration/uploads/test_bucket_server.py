"""The whole server with its files in a bucket, also while the bucket is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location, parse_s3_url
from tests.integration.archive.archive_harness import files_in
from tests.integration.file_stores.places import FAST
from tests.integration.task_server import Client, product, settings_for
from tests.integration.uploads.photo import data_url, edit, photo
from tests.integration.uploads.test_inline import send
from tests.services.network import Network, open_network
from tests.services.s3 import make_bucket

SECRET = "the-secret-key-of-the-tests"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
async def network(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    """The way to the S3 server; requests to it are given up soon."""
    init = Bucket.__init__

    def impatient(self: Bucket, location: S3Location) -> None:
        init(self, location, FAST)

    monkeypatch.setattr(Bucket, "__init__", impatient)
    async with open_network("127.0.0.1", s3_port) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path, s3_port: int, network: Network) -> Settings:
    """The settings of a server with a bucket behind the network."""
    return settings_for(tmp_path, files_url=make_bucket(s3_port, network.port))


async def get(url: str) -> tuple[int, bytes]:
    async with aiohttp.request("GET", url) as answer:
        return answer.status, await answer.read()


async def edited(client: Client, image: str) -> dict[str, Any]:
    """The end of a task that edits a photo."""
    status, task = await send(client, edit(image))
    assert status == 202, task
    return dict(await client.ended(task["task_id"]))


@pytest.mark.parametrize("way", ["bytes", "inline"])
async def test_a_photo_becomes_a_picture(settings: Settings, way: str) -> None:
    """Both are in the bucket, and still there after a restart with an empty folder."""
    async with product(settings) as client:
        image = data_url(photo())
        if way == "bytes":
            data: dict[str, Any] = {"data": photo(), "headers": JPEG}
            status, file = await client.request("POST", "/api/files", **data)
            assert status == 201, file
            image = file["id"]
        ended = await edited(client, image)
        assert ended["status"] == "completed"
        path = ended["result_data"]["image_url"].removeprefix(client.url)
    assert path.startswith("/files/")
    left = await asyncio.to_thread(files_in, settings.data_dir / "files")
    assert left == []

    async with product(settings) as client:
        status, content = await get(client.url + path)

    bucket = Bucket(parse_s3_url(settings.files_url.get_secret_value()))  # type: ignore[union-attr]
    kept = {one.key.rpartition("/")[2]: one.size_bytes async for one in bucket.list()}
    assert status == 200
    assert kept[path.rpartition("/")[2]] == len(content)


async def test_while_the_bucket_is_away(settings: Settings, network: Network) -> None:
    """Uploads are refused meanwhile, tasks complete with the links of the provider."""
    async with product(settings) as client:
        with capture_logs() as lines:
            network.break_connections(refuse=True)
            refused, problem = await client.request(
                "POST", "/api/files", data=photo(), headers=JPEG
            )
            inline, _ = await send(client, edit(data_url(photo())))
            ready, _ = await client.request("GET", "/readyz")
            ended = await client.ended(await client.post())
        network.heal()
        again, file = await client.request("POST", "/api/files", data=photo(), headers=JPEG)
        after = await edited(client, file["id"])

    assert (refused, inline, ready, again) == (503, 503, 200, 201)
    assert problem["type"].endswith(":files-unavailable")
    assert ended["status"] == after["status"] == "completed"
    assert not ended["result_data"]["image_url"].startswith(client.url)
    assert after["result_data"]["image_url"].startswith(f"{client.url}/files/")
    text = str(lines)
    assert "task.not_archived" in text
    assert "no connection" in text
    assert SECRET not in text


async def test_a_server_starts_while_the_bucket_is_away(
    settings: Settings, network: Network
) -> None:
    """And uses it as soon as it is there."""
    network.break_connections(refuse=True)
    async with product(settings) as client:
        assert (await client.request("GET", "/readyz"))[0] == 200
        network.heal()

        assert (await edited(client, data_url(photo())))["status"] == "completed"
