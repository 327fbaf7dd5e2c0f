"""Photos inline, as data: URLs in the body of a task (A6)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.integration.task_server import SPEED, Client, product, settings_for
from tests.integration.uploads.photo import data_url, edit, photo


def stored(folder: Path) -> list[str]:
    """The names of all files in the archive, without thumbnails, and unfinished ones."""
    files = folder / "files"
    return sorted(
        path.name
        for path in (*files.glob("??/??/*"), *files.glob("incoming/*"))
        if path.is_file() and "thumbnails" not in path.parts
    )


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "tasks.sqlite3")) as connection:
        return connection.execute(sql).fetchall()


async def send(client: Client, body: dict[str, Any]) -> tuple[int, Any]:
    """Create a task; the body may be large."""
    data = io.BytesIO(json.dumps(body).encode())
    headers = {"Content-Type": "application/json"}
    return await client.request("POST", "/api/tasks", data=data, headers=headers)


async def test_a_photo_of_a_megabyte_is_edited(tmp_path: Path) -> None:
    """The task completes, the model gets the photo, and the task shows a reference to it."""
    content = photo(1_400)
    assert 1_000_000 < len(content) < 3_000_000
    reference = f"upload:{hashlib.sha256(content).hexdigest()}"
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            tmp_path, replicate_api_token="r8_test", replicate_base_url=replicate.base_url
        )
        async with product(settings) as client:
            status, task = await send(client, edit(data_url(content)))
            assert status == 202, task
            ended = await client.ended(task["task_id"])
            _, shown = await client.request("GET", f"/api/tasks/{task['task_id']}")
        base_url = replicate.base_url
        (prediction,) = replicate.state.predictions
        (upload,) = replicate.state.uploads.newest_first()

    assert ended["status"] == "completed", ended
    assert shown["input_data"]["image_input"] == [reference]
    assert prediction.input["image_input"] == [f"{base_url}/files/{upload.id}"]
    assert (upload.content, upload.content_type) == (content, "image/jpeg")
    assert rows(tmp_path, "SELECT count(*), max(length(input)) < 1000 FROM tasks") == [(1, 1)]
    assert rows(tmp_path, "SELECT sha256 FROM task_inputs") == [(reference[7:],)]


async def test_the_same_photo_is_stored_once(tmp_path: Path) -> None:
    """Two tasks, and two inputs of one of them, share one file."""
    content = photo()
    async with product(settings_for(tmp_path)) as client:
        for body in (edit(data_url(content)), edit(data_url(content), data_url(content))):
            status, task = await client.request("POST", "/api/tasks", json=body)
            assert status == 202, task

        found = stored(tmp_path)

    assert [name for name in found if hashlib.sha256(content).hexdigest() in name] == found[:1]
    assert rows(tmp_path, "SELECT count(*) FROM uploads") == [(1,)]


async def test_a_repeat_with_the_same_key_is_the_same_task(tmp_path: Path) -> None:
    """The photo may be inline again, or be named by its reference; another photo is refused."""
    headers = {"Idempotency-Key": "tap-1"}
    async with product(settings_for(tmp_path)) as client:

        async def post(image: str) -> tuple[int, Any]:
            return await client.request("POST", "/api/tasks", json=edit(image), headers=headers)

        first = await post(data_url(photo()))
        again = await post(data_url(photo()))
        named = await post(f"upload:{hashlib.sha256(photo()).hexdigest()}")
        other = await post(data_url(photo(seed=2)))

    assert [status for status, _ in (first, again, named, other)] == [202, 202, 202, 422]
    assert first[1]["task_id"] == again[1]["task_id"] == named[1]["task_id"]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("data:image/jpeg;base64,", "is empty"),
        ("data:image/jpeg;base64,****", "not a valid data: URL"),
        (data_url(b"just words"), "by its first bytes"),
        (data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml"),
        (data_url(b"<!doctype html><script>"), "by its first bytes"),
        (data_url(b"PK\x03\x04 and more"), "application/zip"),
        (f"upload:{'0' * 64}", "there is no file with this id"),
    ],
)
async def test_what_is_no_picture_is_refused(tmp_path: Path, image: str, said: str) -> None:
    """422 names the field and says why; nothing is stored."""
    async with product(settings_for(tmp_path)) as client:
        status, problem = await client.request(
            "POST", "/api/tasks", json=edit("https://x.example/a.png", image)
        )

        assert (status, problem["field"]) == (422, "input_data.image_input.1"), problem
        assert said in problem["detail"]
        assert stored(tmp_path) == []
    assert rows(tmp_path, "SELECT count(*) FROM tasks") == [(0,)]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("data:image/jpeg;base64,", "is empty"),
        ("data:image/jpeg;base64,/9j/" + "A" * 300_000 + "=A", "not a valid data: URL"),
        (data_url(b"just words " * 20_000), "by its first bytes"),
        (data_url(b"\xff\xd8\xff" + bytes(400_000)), "is a file of more than 300000 bytes"),
    ],
)
async def test_what_is_no_picture_in_a_long_body(tmp_path: Path, image: str, said: str) -> None:
    """422 names the field, as for a short one; nothing is stored."""
    settings = settings_for(tmp_path, max_upload_bytes=300_000)
    async with product(settings) as client:
        status, problem = await send(client, edit(image, data_url(photo(500))))

        assert (status, problem["field"]) == (422, "input_data.image_input.0"), problem
        assert said in problem["detail"]
        assert stored(tmp_path) == []


async def test_a_long_body_has_at_most_32_files(tmp_path: Path) -> None:
    """422 as soon as there is one more."""
    images = [data_url(bytes([number]) * 9_000) for number in range(33)]
    async with product(settings_for(tmp_path)) as client:
        status, problem = await send(client, edit(*images))

        assert (status, problem["field"]) == (422, "input_data.image_input.32"), problem
        assert stored(tmp_path) == []


async def test_a_long_body_that_is_not_json(tmp_path: Path) -> None:
    """400, whatever was stored of its files before."""
    body = json.dumps(edit(data_url(photo(700)))).encode()
    async with product(settings_for(tmp_path)) as client:
        for broken in (body[:-1], body[:-200_000], body + b"]"):
            status, problem = await client.request(
                *("POST", "/api/tasks"),
                data=io.BytesIO(broken),
                headers={"Content-Type": "application/json"},
            )

            assert (status, problem["type"].rpartition(":")[2]) == (400, "malformed-json"), problem
            assert stored(tmp_path) == []


async def test_a_refused_task_stores_no_file(tmp_path: Path) -> None:
    """What is wrong with the task is found before its files are stored."""
    body = edit(data_url(photo()), prompt="")
    async with product(settings_for(tmp_path)) as client:
        status, problem = await client.request("POST", "/api/tasks", json=body)

        assert (status, problem["field"]) == (422, "input_data.prompt")
        assert stored(tmp_path) == []


async def test_bodies_without_files_keep_their_limit(tmp_path: Path) -> None:
    """413 for long texts, also beside a file; and for files beyond the limit for those."""
    long = "x" * 300_000
    bodies: list[dict[str, Any]] = [
        {"input_data": {"type": "image", "prompt": "a", "text": long}},
        {"input_data": {"type": "image", "prompt": "a", "text": f"data:{long}"}},
        edit(data_url(photo()), "https://x.example/" + long),
        edit(data_url(b"\xff\xd8\xff" + bytes(1_000_000))),
    ]
    async with product(settings_for(tmp_path, max_inline_body_bytes=1_000_000)) as client:
        answers = [await send(client, body) for body in bodies]

        assert [status for status, _ in answers] == [413] * 4
        assert "262144 bytes" in answers[0][1]["detail"]
        assert "POST /api/files" in answers[3][1]["detail"]
        assert stored(tmp_path) == []


async def test_more_photos_than_places_wait_for_each_other(tmp_path: Path) -> None:
    """Ten at once are all accepted, two at a time."""
    async with product(settings_for(tmp_path)) as client:

        async def post(seed: int) -> int:
            body = edit(data_url(photo(600, seed=seed)))
            status, _ = await send(client, body)
            return status

        statuses = await asyncio.gather(*map(post, range(10)))

    assert statuses == [202] * 10


async def test_an_owner_has_a_quota(tmp_path: Path) -> None:
    """The files of a day are limited; a file that is there already counts once."""
    content = photo()
    settings = settings_for(tmp_path, owner_upload_bytes_per_day=len(content) + 10)
    async with product(settings) as client:
        first = await _status(client, content)
        again = await _status(client, content)
        status, problem = await client.request(
            "POST", "/api/tasks", json=edit(data_url(photo(seed=2)))
        )

    assert (first, again) == (202, 202)
    assert (status, problem["type"].rpartition(":")[2]) == (429, "quota-reached")


async def _status(client: Client, content: bytes) -> int:
    status, _ = await client.request("POST", "/api/tasks", json=edit(data_url(content)))
    return status
