"""What the server stores of the photos of cameras, over HTTP."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.task_server import Client, product, settings_for
from tests.integration.uploads.photo import data_url, edit
from tests.integration.uploads.test_inline import send, stored
from tests.unit.tasks.archive.pictures import camera

BYTES = {"Content-Type": "application/octet-stream"}


async def upload(client: Client, content: bytes) -> tuple[int, Any]:
    return await client.request("POST", "/api/files", data=io.BytesIO(content), headers=BYTES)


async def bytes_of(url: str) -> bytes:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("make", [camera.jpeg, camera.png, camera.webp])
async def test_the_place_is_not_stored(tmp_path: Path, make: Any, orientation: int) -> None:
    """Neither in what is served nor in any file; the picture is upright."""
    async with product(settings_for(tmp_path)) as client:
        status, file = await upload(client, make(orientation))
        assert status == 201, file
        served = await bytes_of(file["url"])
        [name] = stored(tmp_path)

    assert len(served) == file["size_bytes"]
    assert name in file["url"]
    assert camera.PLACE.encode() not in served
    assert camera.pixels(served).size == ((40, 80) if orientation == 6 else (80, 40))


async def test_the_same_photo_inline_and_sent_has_one_id(tmp_path: Path) -> None:
    """The id is that of what is stored, so it is the same for both ways, and for a repeat."""
    content = camera.jpeg()
    async with product(settings_for(tmp_path)) as client:
        _, first = await upload(client, content)
        _, again = await upload(client, await bytes_of(first["url"]))
        _, task = await send(client, edit(data_url(content)))
        _, shown = await client.request("GET", f"/api/tasks/{task['task_id']}")

    assert first["id"] == again["id"] == shown["input_data"]["image_input"][0]


async def test_the_setting_keeps_metadata(tmp_path: Path) -> None:
    """The file is stored as it is."""
    async with product(settings_for(tmp_path, keep_upload_metadata=True)) as client:
        _, file = await upload(client, camera.jpeg(6))

        assert await bytes_of(file["url"]) == camera.jpeg(6)


HEIC = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic" + bytes(500)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (camera.png_bomb(), 422, "too many pixels; at most 89478485"),
        (camera.exif_bomb(), 422, "more than 20000 parts"),
        (camera.jpeg()[:900], 422, "cut off or broken"),
        (b"\x89PNG\r\n\x1a\n", 422, "cut off or broken"),
        (b"\xff\xd8\xff" + b"\xe1\x00\x02" * 3 + b"\xff\xd9", 422, "broken"),
        (b"RIFF\x04\x00\x00\x00WEBP", 422, "broken"),
    ],
)
async def test_bad_pictures_are_refused(
    tmp_path: Path, content: bytes, status: int, said: str
) -> None:
    """By both ways, and nothing is stored."""
    async with product(settings_for(tmp_path)) as client:
        sent, inline = await upload(client, content), await send(client, edit(data_url(content)))

        assert (sent[0], inline[0]) == (status, 422), (sent, inline)
        assert said in sent[1]["detail"]
        assert said in inline[1]["detail"]
        assert inline[1]["field"] == "input_data.image_input.0"
        assert stored(tmp_path) == []


async def test_heic_without_the_extra_is_415(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text says how to export JPEG."""
    monkeypatch.setattr(
        "phoenix_compat.tasks.archive.pictures.upright.find_spec", lambda _name: None
    )
    async with product(settings_for(tmp_path)) as client:
        status, problem = await upload(client, HEIC)

        assert (status, problem["type"].rpartition(":")[2]) == (415, "unsupported-file")
        assert "export it as JPEG" in problem["detail"]
        assert stored(tmp_path) == []


async def test_many_photos_are_turned_one_after_the_other(tmp_path: Path) -> None:
    """Ten at once are all stored."""
    async with product(settings_for(tmp_path)) as client:
        photos = [camera.jpeg(6, size=(800 + 10 * number, 400)) for number in range(10)]
        answers = await asyncio.gather(*(upload(client, one) for one in photos))

        assert [status for status, _ in answers] == [201] * 10
        assert len(stored(tmp_path)) == 10
