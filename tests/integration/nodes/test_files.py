"""Nodes with one place for their files: each takes a photo, edits it, and shows the result."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from tests.integration.archive.archive_harness import files_in
from tests.integration.nodes.nodes_harness import running_nodes
from tests.integration.task_types.edited import assert_edit_of
from tests.integration.uploads.photo import edit, photo
from tests.integration.uploads.test_inline import send

SIDE_PX = 700


async def get(url: str) -> bytes:
    """A file."""
    async with aiohttp.request("GET", url) as answer:
        assert answer.status == 200, answer.status
        return await answer.read()


@pytest.mark.parametrize("place", ["bucket", "folder"])
async def test_a_photo_is_sent_to_one_node_and_edited_at_another(
    tmp_path: Path, postgres_url: str, s3_url: str, place: str
) -> None:
    """Each node shows the picture under its own address, and keeps nothing in its folder."""
    url = SecretStr(s3_url if place == "bucket" else f"file://{tmp_path}/mounted")
    async with running_nodes(tmp_path, postgres_url, files_url=url) as (first, second):
        status, file = await first.request(
            "POST", "/api/files", data=photo(SIDE_PX), headers={"Content-Type": "image/jpeg"}
        )
        assert status == 201, file
        status, task = await send(second, edit(file["id"]))
        assert status == 202, task

        ends = [await node.ended(task["task_id"]) for node in (first, second)]

        assert [one["status"] for one in ends] == ["completed"] * 2
        urls = [one["result_data"]["image_url"] for one in ends]
        assert urls[0].startswith(f"{first.url}/files/")
        assert urls[1].startswith(f"{second.url}/files/")
        pictures = [await get(url) for url in urls]
        assert pictures[0] == pictures[1]
        await asyncio.to_thread(assert_edit_of, photo(SIDE_PX), pictures[0])
        for number in range(2):
            folder = tmp_path / f"node-{number}" / "files"
            assert await asyncio.to_thread(files_in, folder) == []
    left = await asyncio.to_thread(files_in, tmp_path / "mounted")
    assert len(left) == (0 if place == "bucket" else 3)  # the photo, the picture, its thumbnail
