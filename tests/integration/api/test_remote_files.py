"""The HTTP API while the S3 server of its files is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from phoenix_compat.server.http import remote_files
from phoenix_compat.server.http.files import add_file_routes
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location, parse_s3_url
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION
from tests.integration.archive.archive_harness import opened
from tests.integration.file_stores.places import FAST
from tests.patience import patient
from tests.services.network import Network, open_network
from tests.services.s3 import make_bucket
from tests.serving import serving

LARGE_BYTES = 32 * 2**20
"""More than all buffers on the way can take."""
MP4 = TYPES_BY_EXTENSION["mp4"]


@pytest.fixture
async def network(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    """The way to the S3 server; requests to it are given up soon."""
    init = Bucket.__init__

    def impatient(self: Bucket, location: S3Location) -> None:
        init(self, location, FAST)

    monkeypatch.setattr(Bucket, "__init__", impatient)
    async with open_network("127.0.0.1", s3_port) as opened_network:
        yield opened_network


@pytest.fixture
async def archive(s3_port: int, network: Network, tmp_path: Path) -> AsyncIterator[Archive]:
    """An archive in a bucket behind the network."""
    bucket = parse_s3_url(make_bucket(s3_port, network.port))
    async with opened(tmp_path / "files", bucket=bucket) as opened_archive:
        yield opened_archive


async def keep(archive: Archive, size_bytes: int) -> str:
    """Keep a video; returns its path."""
    incoming = archive.files.incoming()
    await asyncio.to_thread(incoming.write, b"v" * size_bytes)
    stored = await archive.files.commit(incoming, MP4)
    await asyncio.to_thread(incoming.discard)
    return f"/files/{stored.sha256}.mp4"


async def test_a_file_that_cannot_be_read_is_not_missing(
    archive: Archive, network: Network
) -> None:
    """503 with a time to try again, and nothing for caches to keep."""
    path = await keep(archive, 100)
    app = web.Application()
    add_file_routes(app, archive)
    async with serving(app) as origin, aiohttp.ClientSession() as http:
        network.break_connections(refuse=True)
        async with http.get(origin + path) as answer:
            status, headers, text = answer.status, answer.headers, await answer.text()
        network.heal()
        async with http.get(origin + path) as answer:
            content = await answer.read()

    assert (status, headers["Retry-After"]) == (503, "30")
    assert "Cache-Control" not in headers
    assert "files-unavailable" in text
    assert "s3" not in text
    assert content == b"v" * 100


async def test_a_file_that_breaks_off_is_not_taken_for_a_whole_one(
    archive: Archive, network: Network
) -> None:
    """The client sees that its connection ended too early."""
    path = await keep(archive, LARGE_BYTES)
    app = web.Application()
    add_file_routes(app, archive)
    async with serving(app) as origin, aiohttp.ClientSession() as http:
        async with http.get(origin + path) as answer:
            await answer.content.readexactly(1_000)
            network.break_connections(refuse=True)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()

        assert answer.status == 200
        assert archive.files.requests["failed"] == 1


async def test_a_client_that_reads_nothing_is_cut_off(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection to the bucket would wait for it."""
    monkeypatch.setattr(remote_files, "_SEND_TIMEOUT_S", 0.2)
    path = await keep(archive, LARGE_BYTES)
    app = web.Application()
    add_file_routes(app, archive)
    with capture_logs() as lines:
        async with serving(app) as origin:
            host, _, port = origin.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            async with asyncio.timeout(patient(10.0)):
                while not lines:  # noqa: ASYNC110 - a log line sets no event
                    await asyncio.sleep(0.01)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(LARGE_BYTES)
            writer.close()

    assert [(one["event"], one["reason"]) for one in lines] == [("files.cut_off", "slow client")]


async def test_a_client_that_goes_away_ends_the_request_to_the_bucket(archive: Archive) -> None:
    """Other clients still get the file."""
    path = await keep(archive, LARGE_BYTES)
    app = web.Application()
    add_file_routes(app, archive)
    async with serving(app) as origin:
        async with aiohttp.ClientSession() as http, http.get(origin + path) as answer:
            await answer.content.readexactly(1_000)
        async with aiohttp.ClientSession() as http, http.get(origin + path) as answer:
            content = await answer.read()

    assert len(content) == LARGE_BYTES
