"""GET /files: the archived files over HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from phoenix_compat.accept import Connections
from phoenix_compat.accept.connections import FREE_FILES
from phoenix_compat.server.http.files import add_file_routes, file_url, thumbnail_url
from phoenix_compat.server.process.connection_limit import CONNECTIONS
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.file_stores.s3.location import parse_s3_url
from phoenix_compat.tasks.archive.stored_file import StoredFile
from tests.integration.archive.archive_harness import TASK, opened
from tests.serving import serving

SVG = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
RED = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMB"
    "AQDJ/pLvAAAAAElFTkSuQmCC"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class FileServer:
    """An archive behind its routes, with one red picture."""

    def __init__(
        self,
        origin: str,
        folder: Path,
        archive: Archive,
        red: StoredFile,
        http: aiohttp.ClientSession,
    ) -> None:
        self.origin = origin
        self.folder = folder
        self.archive = archive
        self.red = red
        self.path = f"/files/{red.name}"
        self._http = http

    async def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Request a raw path; header names are written with underscores."""
        url = URL(self.origin + target, encoded=True)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, url, headers=given) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    @property
    def content(self) -> bytes:
        """The bytes of the red picture."""
        return base64.b64decode(RED.partition(",")[2])


@pytest.fixture(params=["folder", "bucket"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FileServer]:
    app = web.Application()
    (tmp_path / "secret.txt").write_text("secret")
    is_remote = request.param == "bucket"
    bucket = parse_s3_url(request.getfixturevalue("s3_url")) if is_remote else None
    async with opened(tmp_path / "files", bucket=bucket, grace_s=0.0) as archive:
        add_file_routes(app, archive)
        (red,) = await archive.keep(TASK, [RED])
        async with serving(app) as origin, aiohttp.ClientSession() as http:
            yield FileServer(origin, tmp_path / "files", archive, red, http)


async def test_without_free_descriptors_a_file_is_refused(tmp_path: Path) -> None:
    """With all connections and file slots in use: 503, with the time to try again."""
    app = web.Application()
    connections = app[CONNECTIONS] = Connections(max_connections=1)
    connections.open, connections.open_files = 1, FREE_FILES
    async with opened(tmp_path / "files") as archive:
        add_file_routes(app, archive)
        (red,) = await archive.keep(TASK, [RED])
        async with serving(app) as origin, aiohttp.ClientSession() as http:
            files = FileServer(origin, tmp_path / "files", archive, red, http)
            refused = await files.get(files.path)
            connections.open_files -= 1
            served = await files.get(files.path)

    assert refused.status == 503
    assert refused.headers["Retry-After"] == "2"
    assert served.status == 200
    assert connections.open_files == FREE_FILES - 1


async def test_a_picture_is_served(files: FileServer) -> None:
    """With its type, cached for ever, sandboxed, and with its hash as the ETag."""
    answer = await files.get(files.path)

    assert (answer.status, answer.body) == (200, files.content)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["ETag"] == f'"{files.red.sha256}"'
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; sandbox; frame-ancestors 'none'"
    )
    assert answer.headers["Accept-Ranges"] == "bytes"


async def test_the_urls_lead_to_the_files(files: FileServer) -> None:
    """The URLs for clients are those of the routes, whether or not public_url ends with a slash."""
    url = file_url("https://tasks.example/", files.red)
    thumbnail = thumbnail_url("https://tasks.example", files.red)

    assert url == f"https://tasks.example/files/{files.red.name}"
    assert thumbnail is not None
    answer = await files.get(thumbnail.removeprefix("https://tasks.example"))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")
    assert answer.body[8:12] == b"WEBP"


async def test_a_file_without_a_thumbnail_has_no_thumbnail_url(files: FileServer) -> None:
    """An SVG has none; it is served sandboxed, so that its scripts cannot run."""
    (svg,) = await files.archive.keep(TASK, [SVG])

    answer = await files.get(f"/files/{svg.name}")

    assert thumbnail_url(files.origin, svg) is None
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (await files.get(f"/files/thumbnails/{svg.sha256}.webp")).status == 404


async def test_head_is_get_without_a_body(files: FileServer) -> None:
    """The same headers without a body; also for a missing file."""
    got = await files.get(files.path)

    head = await files.get(files.path, "HEAD")
    missing = await files.get(f"/files/{'0' * 64}.png", "HEAD")

    headers = {name: value for name, value in head.headers.items() if name != "Date"}
    assert headers == {name: value for name, value in got.headers.items() if name != "Date"}
    assert (head.status, head.body) == (200, b"")
    assert (missing.status, missing.body) == (404, b"")


async def test_a_part_of_a_file(files: FileServer) -> None:
    """Ranges are served with the same ETag; one beyond the end is refused, and not cached."""
    size = files.red.size_bytes

    part = await files.get(files.path, Range="bytes=0-7")
    tail = await files.get(files.path, Range="bytes=-4")
    beyond = await files.get(files.path, Range=f"bytes={size}-")

    assert (part.status, part.body) == (206, files.content[:8])
    assert part.headers["Content-Range"] == f"bytes 0-7/{size}"
    assert part.headers["ETag"] == f'"{files.red.sha256}"'
    assert (tail.status, tail.body) == (206, files.content[-4:])
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert "Cache-Control" not in beyond.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": "{ours}"}, 304),
        ({"If_None_Match": 'W/{ours}, "x"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"other"'}, 200),
        ({"If_Match": "{ours}"}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_Match": "W/{ours}"}, 412),
        ({"Range": "bytes=0-3", "If_Range": "{ours}"}, 206),
        ({"Range": "bytes=0-3", "If_Range": '"other"'}, 200),
        ({"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ({"If_Modified_Since": "Fri, 01 Jan 2010 00:00:00 GMT"}, 200),
        ({"If_Unmodified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 200),
        ({"If_Unmodified_Since": "Fri, 01 Jan 2010 00:00:00 GMT"}, 412),
        ({"Range": "bytes=0-3", "If_Range": "Fri, 01 Jan 2100 00:00:00 GMT"}, 206),
        ({"Range": "bytes=0-3", "If_Range": "Fri, 01 Jan 2010 00:00:00 GMT"}, 200),
        ({"Range": "bytes=3-0"}, 416),
        ({"Range": "bytes=x"}, 416),
        ({"Range": "bytes=-1000"}, 206),
        ({"Range": "bytes=1-1000"}, 206),
        (
            {
                "If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT",
                "If_None_Match": '"other"',
            },
            200,
        ),
    ],
)
async def test_conditional_requests_use_the_hash(
    files: FileServer, headers: dict[str, str], status: int
) -> None:
    """A client that has the file does not get it again."""
    ours = f'"{files.red.sha256}"'
    given = {name: value.replace("{ours}", ours) for name, value in headers.items()}

    answer = await files.get(files.path, **given)

    assert answer.status == status
    if status < 400:
        assert answer.headers["ETag"] == ours
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "/files/",
        "/files/../secret.txt",
        "/files/..%2fsecret.txt",
        "/files/%2e%2e%2fsecret.txt",
        "/files/..%252fsecret.txt",
        "/files/..%5csecret.txt",
        "/files//etc/passwd",
        "/files/%2fetc%2fpasswd",
        "/files/thumbnails/..%2f..%2fsecret.txt",
        "/files/incoming/{sha256}.part",
        "/files/{dir}/{name}",
        "/files/{name}%00",
        "/files/{name}%0a",
        "/files/{name}%00.png",
        "/files/{name}/",
        "/files/{NAME}",
        "/files/{sha256}",
        "/files/{sha256}.",
        "/files/{sha256}.jpg",
        "/files/{sha256}.webp",
        "/files/{sha256}.png.webp",
        "/files/{short}.png",
        "/files/thumbnails/{name}",
        "/files/thumbnails/{sha256}",
    ],
)
async def test_only_file_names_are_served(files: FileServer, path: str) -> None:
    """Anything that is not exactly the name of a file gets a 404 without further details."""
    name, sha256 = files.red.name, files.red.sha256
    folder = files.red.path.rpartition("/")[0]
    target = path.format(name=name, sha256=sha256, dir=folder, NAME=name.upper(), short=sha256[:-1])

    answer = await files.get(target)

    assert answer.status == 404
    assert b"secret" not in answer.body
    assert "Cache-Control" not in answer.headers
    if not target.startswith("/files/../"):
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert b"urn:phoenix-compat:problem:file-not-found" in answer.body


async def test_a_pruned_file_is_gone(files: FileServer) -> None:
    """The next request after pruning is a 404."""
    await files.archive.discard([files.red.sha256])

    assert (await files.get(files.path)).status == 404
