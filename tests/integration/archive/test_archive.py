"""The archive with the emulator and other file hosts, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from phoenix_compat.emulator.pictures.picture import data_url
from phoenix_compat.tasks.archive.errors import (
    ArchiveError,
    FileGoneError,
    FileTooLargeError,
    FileUnreachableError,
    HostRefusedError,
    WrongFileError,
)
from phoenix_compat.tasks.archive.stored_file import stored_file
from tests.integration.archive.archive_harness import (
    PNG,
    TASK,
    files_in,
    host,
    opened,
    output_of,
    refusal,
)
from tests.unit.emulator.emulator_client import emulator_client


async def test_a_picture_is_stored(tmp_path: Path) -> None:
    """The file is stored under its hash, unchanged and with a thumbnail."""
    async with emulator_client() as caller, opened(tmp_path, caller.emulator.origin) as archive:
        url = await output_of(caller, "Medieval monk")
        picture = (await caller.get(url)).body

        (stored,) = await archive.keep(TASK, [url])

    sha256 = hashlib.sha256(picture).hexdigest()
    assert stored.path == f"{sha256[:2]}/{sha256[2:4]}/{sha256}.jpg"
    assert (stored.sha256, stored.size_bytes) == (sha256, len(picture))
    assert (stored.content_type, stored.source_url) == ("image/jpeg", url)
    assert (tmp_path / stored.path).read_bytes() == picture
    assert stored.thumbnail_path == f"thumbnails/{sha256[:2]}/{sha256[2:4]}/{sha256}.webp"
    with Image.open(tmp_path / stored.thumbnail_path) as thumbnail:
        assert (thumbnail.format, max(thumbnail.size)) == ("WEBP", 512)
    assert files_in(tmp_path) == sorted([stored.path, stored.thumbnail_path])
    assert stored_file(stored.document()) == stored


@pytest.mark.parametrize(
    ("fault", "expected", "reason", "downloads"),
    [
        ("file_404", FileGoneError, "gone", 1),
        ("file_403", FileGoneError, "gone", 1),
        ("file_500", FileUnreachableError, "server_error", 3),
        ("file_empty", WrongFileError, "empty", 1),
        ("file_html", WrongFileError, "html", 1),
        ("file_redirect", HostRefusedError, "host_refused", 1),
        ("file_too_large", FileTooLargeError, "too_large", 1),
        ("file_endless", FileTooLargeError, "too_large", 1),
        ("file_stalled", FileUnreachableError, "stalled", 1),
        ("file_cut", FileUnreachableError, "broken", 3),
    ],
)
async def test_a_failed_download_has_its_error(
    tmp_path: Path, fault: str, expected: type[ArchiveError], reason: str, downloads: int
) -> None:
    """Each fault has its own error, is retried only if it may be temporary, and leaves no file."""
    timeout_s = 0.3 if fault == "file_stalled" else 10.0
    options = {"max_file_bytes": 2**20, "read_timeout_s": timeout_s}
    async with (
        emulator_client(oversize_bytes=2**22) as caller,
        opened(tmp_path, caller.emulator.origin, **options) as archive,
    ):
        url = await output_of(caller, f"Medieval monk #fault:{fault}")

        error = await refusal(archive, url)

        assert (type(error), error.reason) == (expected, reason)
        assert error.is_temporary is (expected is FileUnreachableError)
        assert caller.state.counts["downloads"] == downloads
        assert caller.state.counts["redirects_followed"] == 0
        assert archive.counts.failures == {reason: 1}
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("fault", ["file_500x2", "file_cutx2", "file_octets"])
async def test_a_file_is_stored_after_retries(tmp_path: Path, fault: str) -> None:
    """Two failed tries are retried, and a wrong content type is ignored."""
    async with emulator_client() as caller, opened(tmp_path, caller.emulator.origin) as archive:
        url = await output_of(caller, f"Medieval monk #fault:{fault}")

        (stored,) = await archive.keep(TASK, [url])

    content = (tmp_path / stored.path).read_bytes()
    assert (stored.content_type, stored.sha256) == (
        "image/jpeg",
        hashlib.sha256(content).hexdigest(),
    )


async def test_an_inline_picture_is_stored_as_a_file(tmp_path: Path) -> None:
    """A `data:` URL becomes a file, and its text is not in the document for the database."""
    inline = await asyncio.to_thread(data_url, "Medieval monk")

    async with opened(tmp_path) as archive:
        (stored,) = await archive.keep(TASK, [inline])

    content = base64.b64decode(inline.partition(",")[2])
    assert (tmp_path / stored.path).read_bytes() == content
    assert (stored.content_type, stored.source_url) == ("image/png", None)
    assert "data:" not in repr(stored.document())


async def test_one_failure_does_not_affect_the_other_files(tmp_path: Path) -> None:
    """The error has the stored files by position; a second call writes only the missing one."""
    async with emulator_client() as caller, opened(tmp_path, caller.emulator.origin) as archive:
        first, second = await output_of(caller, "Two monks #fault:output_two #fault:file_404x1")

        error = await refusal(archive, first, second)
        stored = await archive.keep(TASK, [first, second])

        assert sorted(file is None for file in error.kept) == [False, True]
        assert len({file.sha256 for file in stored}) == 2
        assert (archive.counts.kept, archive.counts.known) == (2, 1)


async def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    """Eight concurrent downloads of the same picture make one file, and one counts as new."""

    async def picture(_request: web.Request) -> web.Response:
        return web.Response(body=PNG + bytes(100_000))

    async with host(picture) as origin, opened(tmp_path, origin) as archive:
        kept = await asyncio.gather(
            *(archive.keep(TASK, [f"{origin}/{number}"]) for number in range(8))
        )

        assert len({stored.path for (stored,) in kept}) == 1
        assert (archive.counts.kept, archive.counts.known) == (1, 7)
        assert archive.total_bytes == len(PNG) + 100_000
        assert files_in(tmp_path) == [kept[0][0].path]


async def test_concurrent_downloads_are_limited(tmp_path: Path) -> None:
    """Twelve files are downloaded four at a time, and returned in their order."""
    active, most_active = 0, 0
    is_busy = asyncio.Event()

    async def picture(request: web.Request) -> web.Response:
        nonlocal active, most_active
        active += 1
        most_active = max(most_active, active)
        if active == 4:
            is_busy.set()
        await is_busy.wait()
        active -= 1
        return web.Response(body=PNG + request.path.encode())

    async with host(picture) as origin, opened(tmp_path, origin) as archive:
        urls = [f"{origin}/{number}" for number in range(12)]
        kept = await archive.keep(TASK, urls)

    assert [file.source_url for file in kept] == urls
    assert most_active == 4


async def test_the_file_host_gets_no_private_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests have no token and no cookie, and use no proxy of the environment."""
    seen: list[dict[str, str]] = []
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def picture(request: web.Request) -> web.Response:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(body=PNG + b"x", headers={"Set-Cookie": "a=b"})

    async with host(picture) as origin, opened(tmp_path, origin) as archive:
        await archive.keep(TASK, [f"{origin}/1"])
        await archive.keep(TASK, [f"{origin}/2"])

    assert len(seen) == 2
    for headers in seen:
        assert set(headers) == {"host", "accept", "accept-encoding", "user-agent"}


async def test_compressed_answers_are_not_decompressed(tmp_path: Path) -> None:
    """The archive sees the compressed bytes, which are not a picture."""

    async def bomb(_request: web.Request) -> web.Response:
        response = web.Response(body=bytes(2**20))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with host(bomb) as origin, opened(tmp_path, origin) as archive:
        assert isinstance(await refusal(archive, f"{origin}/x"), WrongFileError)


async def test_a_slow_download_times_out(tmp_path: Path) -> None:
    """A host that sends a little from time to time does not extend the total timeout."""

    async def send_slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(PNG)
            await asyncio.sleep(0.02)
        return response

    async with (
        host(send_slowly) as origin,
        opened(tmp_path, origin, total_timeout_s=0.3) as archive,
    ):
        error = await refusal(archive, f"{origin}/x")

    assert (error.reason, files_in(tmp_path)) == ("timed_out", [])


async def test_a_cancelled_download_leaves_no_file(tmp_path: Path) -> None:
    """Cancelling `keep` in the middle of a file leaves no file, not even a temporary one."""
    half_sent = asyncio.Event()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "2000000"})
        await response.prepare(request)
        await response.write(PNG + bytes(1_000_000))
        half_sent.set()
        await asyncio.Event().wait()
        return response

    async with opened(tmp_path) as no_host:
        assert await no_host.keep(TASK, []) == ()
    async with host(half) as origin, opened(tmp_path, origin) as archive:
        keeping = asyncio.create_task(archive.keep(TASK, [f"{origin}/x"]))
        await half_sent.wait()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping

        assert files_in(tmp_path) == []


async def test_a_task_type_without_a_rule_may_have_any_file(tmp_path: Path) -> None:
    """Any file but a web page is accepted for such a task type."""

    async def anything(request: web.Request) -> web.Response:
        bodies = {"/zip": b"PK\x03\x04...", "/text": b"plain words", "/page": b"\n<HTML>"}
        return web.Response(body=bodies[request.path])

    async with host(anything) as origin, opened(tmp_path, origin, accepted={}) as archive:
        kept = await archive.keep(TASK, [f"{origin}/zip", f"{origin}/text"])
        error = await refusal(archive, f"{origin}/page")

    assert [file.content_type for file in kept] == ["application/zip", "application/octet-stream"]
    assert [file.thumbnail_path for file in kept] == [None, None]
    assert error.reason == "html"


async def test_a_broken_picture_is_stored_without_a_thumbnail(tmp_path: Path) -> None:
    """A picture that cannot be decoded is stored without a thumbnail."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")

    async def half(_request: web.Request) -> web.Response:
        return web.Response(body=picture.getvalue()[:60])

    async with host(half) as origin, opened(tmp_path, origin) as archive:
        (stored,) = await archive.keep(TASK, [f"{origin}/x"])

        assert (stored.thumbnail_path, archive.counts.thumbnail_failures) == (None, 1)
    assert files_in(tmp_path) == [stored.path]
