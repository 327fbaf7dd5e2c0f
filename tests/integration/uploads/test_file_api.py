"""POST /api/files: photos are stored as they arrive, and tasks use them by their id."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.config.reload import RELOADABLE_SETTINGS
from phoenix_compat.server.process.listening import listening
from tests.integration.rates.rates_harness import ALICE, limited, via_proxy
from tests.integration.task_server import Client, product, settings_for
from tests.integration.uploads.photo import edit, photo
from tests.integration.uploads.test_inline import rows, stored
from tests.patience import patient
from tests.wire import PatientClient

JPEG = {"Content-Type": "image/jpeg"}


def form(content: bytes, filename: str = "photo.jpg", **fields: str) -> aiohttp.FormData:
    """A form with a file, and other fields before and after it."""
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("file", content, filename=filename, content_type="image/jpeg")
    data.add_field("after", "it")
    return data


async def upload(client: Client, content: bytes) -> tuple[int, Any]:
    """Send a file as the whole body."""
    return await client.request("POST", "/api/files", data=io.BytesIO(content), headers=JPEG)


async def test_a_photo_is_stored_and_used(tmp_path: Path) -> None:
    """The id and the URL are made from its content, and a task with the id completes."""
    content = photo(700)
    sha256 = hashlib.sha256(content).hexdigest()
    async with product(settings_for(tmp_path)) as client:
        status, file = await upload(client, content)

        assert status == 201
        assert file == {
            "id": f"upload:{sha256}",
            "url": f"{client.url}/files/{sha256}.jpg",
            "content_type": "image/jpeg",
            "size_bytes": len(content),
        }
        async with aiohttp.ClientSession() as http, http.get(file["url"]) as answer:
            assert await answer.read() == content
        _, task = await client.request("POST", "/api/tasks", json=edit(file["id"]))
        assert (await client.ended(task["task_id"]))["status"] == "completed"
        _, shown = await client.request("GET", f"/api/tasks/{task['task_id']}")
        assert shown["input_data"]["image_input"] == [file["id"]]


async def test_a_form_and_a_repeat_give_the_same_id(tmp_path: Path) -> None:
    """Names are not used, also those with paths; other fields are skipped."""
    content = photo()
    async with product(settings_for(tmp_path)) as client:
        answers = [
            await upload(client, content),
            await upload(client, content),
            await client.request("POST", "/api/files", data=form(content, before="x")),
            await client.request("POST", "/api/files", data=form(content, "folder/photo.jpg")),
            await client.request("POST", "/api/files", data=form(content, "C:\\a..b\\%00.jpg")),
        ]

        assert [status for status, _ in answers] == [201] * 5
        assert len({file["id"] for _, file in answers}) == 1
        assert len(stored(tmp_path)) == 1
    assert rows(tmp_path, "SELECT count(*) FROM uploads") == [(1,)]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\a.jpg", "a/../b.jpg", ".."])
async def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """400 says so, and nothing is stored."""
    async with product(settings_for(tmp_path)) as client:
        status, problem = await client.request("POST", "/api/files", data=form(photo(), name))

        assert (status, problem["type"].rpartition(":")[2]) == (400, "bad-form"), problem
        assert "leads to another folder" in problem["detail"]
        assert stored(tmp_path) == []


async def test_thirty_megabytes_are_refused(tmp_path: Path) -> None:
    """With the limit of the default settings, with and without a length."""
    content = photo() + bytes(30_000_000)
    async with product(settings_for(tmp_path)) as client:
        for data in (io.BytesIO(content), blocks(content)):
            status, problem = await client.request("POST", "/api/files", data=data)

            assert (status, problem["type"].rpartition(":")[2]) == (413, "too-large")
            assert "at most 26214400 bytes" in problem["detail"]
        assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "status", "word", "said"),
    [
        (b"", 422, "invalid-file", "is empty"),
        (b"just words", 415, "unsupported-file", "by its first bytes"),
        (b"<svg/>", 415, "unsupported-file", "image/svg+xml"),
        (b"<html>", 415, "unsupported-file", "by its first bytes"),
        (b"%PDF-1.7", 415, "unsupported-file", "application/pdf"),
        (b"\xff\xd8\xff" + bytes(50_000), 413, "too-large", "at most 50000 bytes"),
        (b"\xff\xd8\xff" + bytes(500_000), 413, "too-large", "at most 50000 bytes"),
    ],
)
@pytest.mark.parametrize("as_form", [False, True])
async def test_a_bad_file_is_refused(
    tmp_path: Path, content: bytes, status: int, word: str, said: str, *, as_form: bool
) -> None:
    """A 4xx says what is wrong and which bound, and nothing is stored."""
    async with product(settings_for(tmp_path, max_upload_bytes=50_000)) as client:
        if as_form:
            found, problem = await client.request("POST", "/api/files", data=form(content))
        else:
            found, problem = await upload(client, content)

        assert (found, problem["type"].rpartition(":")[2]) == (status, word), problem
        assert said in problem["detail"]
        assert stored(tmp_path) == []
    assert rows(tmp_path, "SELECT count(*) FROM uploads") == [(0,)]


async def blocks(content: bytes) -> AsyncIterator[bytes]:
    """A body without a length."""
    for at in range(0, len(content), 10_000):
        yield content[at : at + 10_000]


async def test_a_body_without_a_length_has_the_limit_too(tmp_path: Path) -> None:
    """It is refused as soon as it is longer."""
    async with product(settings_for(tmp_path, max_upload_bytes=50_000)) as client:
        small, large = [
            await client.request("POST", "/api/files", data=blocks(content), headers=JPEG)
            for content in (photo(), b"\xff\xd8\xff" + bytes(60_000))
        ]

        assert (small[0], large[0]) == (201, 413)
        assert len(stored(tmp_path)) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "image/jpeg", "Origin": "https://evil.example"}, 403),
        ({"Content-Type": "multipart/form-data"}, 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 400),
        ({"Content-Type": "application/octet-stream"}, 201),
        ({"Content-Type": "IMAGE/HEIC"}, 201),
    ],
)
async def test_types_of_bodies(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """The type must be one of a file or a form, which foreign pages cannot send."""
    async with product(settings_for(tmp_path)) as client:
        found, problem = await client.request(
            "POST", "/api/files", data=io.BytesIO(photo()), headers=headers
        )

        assert found == status, problem
        assert len(stored(tmp_path)) == (1 if status == 201 else 0)


PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        PART,
        PART + b"\r\n" + b"\xff\xd8\xff" * 1_000,
        PART + b"\r\n" + b"\xff\xd8\xff\r\n--x\r\n",
        PART + b"Content-Transfer-Encoding: base64\r\n\r\n/9j/\r\n--x--\r\n",
        PART + b"\r\n\xff\xd8\xff\r\n" + PART + b"\r\n\xff\xd8\xff\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"y" * 70_000 + b"\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 20 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
    ],
)
async def test_a_broken_form_is_refused(tmp_path: Path, body: bytes) -> None:
    """A form that is cut off, or has no file, two files or an encoded one, stores nothing."""
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with product(settings_for(tmp_path)) as client:
        status, problem = await client.request(
            "POST", "/api/files", data=io.BytesIO(body), headers=headers
        )

        assert status in {400, 422}, problem
        assert stored(tmp_path) == []


async def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    """The beginning of its file is deleted."""
    async with product(settings_for(tmp_path)) as client:
        wire = await PatientClient.connect(client.url)
        head = f"POST /api/files HTTP/1.1\r\nHost: {wire.host}\r\nContent-Type: image/jpeg\r\n"
        beginning = b"Content-Length: 900000\r\n\r\n" + photo(400)[:100_000]
        await wire.send_bytes(head.encode() + beginning)
        async with asyncio.timeout(patient(10.0)):
            while not stored(tmp_path):  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)
        await wire.close()

        async with asyncio.timeout(patient(10.0)):
            while stored(tmp_path):  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)


async def test_files_count_as_creates(tmp_path: Path) -> None:
    """The rate limit of an address, and the quota of an owner, hold for files too."""
    settings = limited(
        tmp_path,
        address_creates_per_minute=2,
        owner_upload_bytes_per_day=len(photo()) + 10,
    )
    headers = JPEG | via_proxy(ALICE)
    async with product(settings) as client:
        answers = [
            await client.request("POST", "/api/files", data=io.BytesIO(content), headers=headers)
            for content in (photo(), photo(seed=2), photo(seed=3))
        ]

        assert [status for status, _ in answers] == [201, 429, 429]
        _, health = await client.request("GET", "/healthz")
        assert health["files"] == {"kept": 1, "refused_quota": 1}
        words = [problem["type"].rpartition(":")[2] for _, problem in answers[1:]]
        assert words == ["quota-reached", "too-many-requests"]
        assert len(stored(tmp_path)) == 1


async def test_a_reload_changes_the_quota(tmp_path: Path) -> None:
    """From the next file on."""
    settings = settings_for(tmp_path, owner_upload_bytes_per_day=len(photo()) + 10)
    async with (
        open_app(settings) as app,
        listening(app, "127.0.0.1", 0) as url,
        Client.of(url) as client,
    ):
        before = [(await upload(client, one))[0] for one in (photo(), photo(seed=2))]
        changed = settings.model_copy(update={"owner_upload_bytes_per_day": 0})
        await app[RELOADABLE_SETTINGS].apply(changed)
        after, _ = await upload(client, photo(seed=2))

    assert (before, after) == ([201, 429], 201)


async def test_a_full_disk_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve of the disk is kept; the answer says when to try again."""
    async with product(settings_for(tmp_path)) as client:
        monkeypatch.setattr(
            "phoenix_compat.tasks.archive.content_store.shutil.disk_usage",
            lambda _folder: type("Usage", (), {"free": 1_000}),
        )

        status, problem = await upload(client, photo())

        assert (status, problem["type"].rpartition(":")[2]) == (503, "storage-full")
        assert stored(tmp_path) == []
