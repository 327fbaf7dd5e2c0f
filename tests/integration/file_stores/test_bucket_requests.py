"""Requests to an S3 server: large files, cut connections, refusals, and what people see of them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_stores.s3.bucket import (
    BLOCK_BYTES,
    MAX_SENT,
    PART_BYTES,
    Bucket,
)
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location, parse_s3_url
from phoenix_compat.tasks.archive.file_stores.s3.tries import RequestLimits
from tests.integration.file_stores.places import FAST, HOUR_S, Place, content_of, keep
from tests.patience import patient
from tests.services.network import Network, open_network
from tests.services.programs import free_port
from tests.services.s3 import make_bucket

SECRET = "the-secret-key-of-the-tests"
PATIENT = RequestLimits(connect_s=30.0, answer_s=30.0, total_s=30.0)
SLOW_TO_REPEAT = RequestLimits(retry_first_s=0.3)
IMPATIENT = RequestLimits(connect_s=0.5, answer_s=0.1, total_s=0.2, retry_first_s=0.01)


@pytest.fixture
async def network(s3_port: int) -> AsyncIterator[Network]:
    """The way to the S3 server."""
    async with open_network("127.0.0.1", s3_port) as opened:
        yield opened


async def put(bucket: Bucket, content: bytes, key: str = "ab/cd/key") -> None:
    await bucket.put(key, content, len(content), "image/png")


async def test_a_large_file_is_sent_and_read_in_parts(tmp_path: Path, s3_url: str) -> None:
    """It is the same afterwards, and no block of it is large."""
    files = await Place(tmp_path / "files", s3_url).server()
    content = bytes(range(256)) * (PART_BYTES // 256) * 2 + b"end"

    stored = await keep(files, content)

    found = await files.find(stored.sha256)
    assert not isinstance(found, Path | None)
    assert (found.name, found.size_bytes) == (f"{stored.sha256}.png", len(content))
    digest, sizes = hashlib.sha256(), []
    async for block in found.read(0, found.size_bytes):
        digest.update(block)
        sizes.append(len(block))
    assert digest.hexdigest() == stored.sha256
    assert max(sizes) <= 2**20  # the driver joins what has come, up to twice 400 KiB
    assert [one async for one in found.read(100, 104)] == [content[100:104]]


async def test_what_a_file_costs(tmp_path: Path, s3_url: str) -> None:
    """Three requests to keep it, and one for its thumbnail; two for each client."""
    files = await Place(tmp_path / "files", s3_url).server()

    stored = await keep(files)
    await files.add_thumbnail(stored.sha256, b"small")

    assert files.requests == {"head": 1, "put": 2, "list": 1}
    files.requests.clear()
    assert await content_of(files, f"{stored.sha256}.png") == b"picture"
    assert files.requests == {"head": 1, "get": 1}


async def test_a_copy_on_this_machine_is_checked(tmp_path: Path, s3_url: str) -> None:
    """A file whose content is not that of its name is an error, and not used."""
    place = Place(tmp_path / "files", s3_url)
    files = await place.server()
    good, bad = await keep(files), await keep(files, b"another")
    await put(place.bucket(), b"ANOTHER", bad.relative)

    await files.fetch(good.sha256, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"picture"
    with pytest.raises(FileStoreError, match="damaged"):
        await files.fetch(bad.sha256, tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        await files.fetch("0" * 64, tmp_path / "third")


async def test_a_file_of_another_size_is_replaced(tmp_path: Path, s3_url: str) -> None:
    """As a damaged file is in a folder."""
    place = Place(tmp_path / "files", s3_url)
    files = await place.server()
    stored = await keep(files)
    await put(place.bucket(), b"pict", stored.relative)

    again = await keep(files)

    assert again.is_new
    assert await content_of(files, stored.sha256) == b"picture"


async def test_reading_goes_on_where_the_connection_was_cut(s3_port: int, network: Network) -> None:
    """The reader notices nothing; the repeat is counted."""
    bucket = Bucket(parse_s3_url(make_bucket(s3_port, network.port)), PATIENT)
    content = bytes(range(256)) * 4_096 * 16
    await put(bucket, content, "ab/cd/key")
    read = bytearray()

    async for block in bucket.read("ab/cd/key", 0, len(content)):
        if not read:
            network.break_connections()
        read += block

    assert bytes(read) == content
    assert bucket.counts["retried"] == 1
    assert bucket.counts["failed"] == 0


async def test_a_request_is_repeated_when_the_connection_breaks(
    s3_port: int, network: Network
) -> None:
    """A server that is away for a moment is not noticed."""
    bucket = Bucket(parse_s3_url(make_bucket(s3_port, network.port)), SLOW_TO_REPEAT)
    await put(bucket, b"picture")
    network.break_connections(refuse=True)
    asking = asyncio.create_task(bucket.head("ab/cd/key"))
    async with asyncio.timeout(patient(5.0)):
        while not bucket.counts["retried"]:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.001)
    network.heal()

    found = await asking

    assert found is not None
    assert found.size_bytes == 7


@pytest.mark.parametrize("way", ["nobody listens", "nothing answers"])
async def test_a_server_that_is_away(s3_port: int, network: Network, way: str) -> None:
    """Every request ends within its limit, with a text that says where and why."""
    url = make_bucket(s3_port, free_port() if way == "nobody listens" else network.port)
    bucket = Bucket(parse_s3_url(url), FAST if way == "nobody listens" else IMPATIENT)
    if way == "nothing answers":
        network.cut()
    expected = "no connection" if way == "nobody listens" else "no answer in time"
    begun_s = time.monotonic()

    for asking in (
        bucket.head("ab/cd/key"),
        put(bucket, b"x"),
        bucket.delete("ab/cd/key"),
        anext(bucket.read("ab/cd/key", 0, 1)),
        anext(bucket.list("ab/cd")),
    ):
        with pytest.raises(FileStoreError, match=expected) as raised:
            await asking
        assert f"s3://{parse_s3_url(url).bucket}/some/files" in str(raised.value)

    assert time.monotonic() - begun_s < patient(10.0)
    assert bucket.counts["failed"] == 5
    assert bucket.counts["retried"] >= 1


async def test_few_files_are_sent_at_a_time(s3_port: int, network: Network) -> None:
    """Each has parts of itself in memory; one that has to wait too long is refused."""
    bucket = Bucket(parse_s3_url(make_bucket(s3_port, network.port)), PATIENT)
    await put(bucket, b"first")
    network.cut()
    sending = [asyncio.create_task(put(bucket, b"x", f"ab/cd/{one}")) for one in range(MAX_SENT)]
    async with asyncio.timeout(patient(5.0)):
        while bucket.counts["put"] < 1 + MAX_SENT:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.001)

    bucket._limits = IMPATIENT  # the others keep theirs
    with pytest.raises(FileStoreError, match="no answer in time"):
        await put(bucket, b"x", "ab/cd/more")

    assert bucket.counts["put"] == 1 + MAX_SENT
    network.heal()
    await asyncio.gather(*sending)


async def test_a_server_that_dies_while_it_sends_a_file(
    tmp_path: Path, s3_port: int, network: Network
) -> None:
    """Nothing of it is seen, and another server may keep the same file at once."""
    url = make_bucket(s3_port, network.port)
    dying = await Place(tmp_path / "dying", url).server()
    other = await Place(tmp_path / "other", url.replace(str(network.port), str(s3_port))).server()
    content = b"z" * (2 * PART_BYTES)
    assert await dying.find("0" * 64) is None  # it is connected
    sending = asyncio.create_task(keep(dying, content))
    async with asyncio.timeout(patient(5.0)):
        while not dying.requests["put"]:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.001)
    network.cut()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    network.break_connections()

    assert [one async for one in other.old_hashes(-HOUR_S)] == []
    assert (await keep(other, content)).is_new


async def test_a_bucket_that_is_not_there(s3_url: str) -> None:
    """It is not taken for one without files when something is stored."""
    location = parse_s3_url(s3_url)
    bucket = Bucket(S3Location("not-there", "", location.options), FAST)

    with pytest.raises(FileStoreError, match="NoSuchBucket"):
        await put(bucket, b"x")
    with pytest.raises(FileStoreError, match="NoSuchBucket"):
        await anext(bucket.list())
    assert bucket.counts["retried"] == 0


async def test_no_secret_is_seen(tmp_path: Path, s3_url: str) -> None:
    """Neither in the name, nor in `repr`, nor in an error with all of its causes."""
    location = parse_s3_url(s3_url.replace("127.0.0.1", "127.0.0.2"))
    bucket = Bucket(location, FAST)
    with pytest.raises(FileStoreError) as raised:
        await bucket.head("key")

    texts = [bucket.name, repr(location), str(location), str(raised.value)]
    texts += [str(raised.value.__cause__), repr(raised.value.__cause__)]
    for text in texts:
        assert SECRET not in text
        assert "AKIATESTACCESSKEY" not in text
    assert "endpoint=http://127.0.0.2" in str(location)


async def test_a_reader_that_goes_away_leaves_nothing_open(s3_url: str) -> None:
    """The blocks end with it."""
    bucket = Bucket(parse_s3_url(s3_url), FAST)
    content = b"x" * 40 * BLOCK_BYTES
    await put(bucket, content)
    blocks = bucket.read("ab/cd/key", 0, len(content))

    await anext(blocks)
    await blocks.aclose()  # type: ignore[attr-defined]

    with pytest.raises(StopAsyncIteration):
        await anext(blocks)


async def test_files_are_there_without_open(tmp_path: Path, s3_url: str) -> None:
    """A process that only reads finds them."""
    place = Place(tmp_path / "files", s3_url)
    stored = await keep(await place.server())
    reader = await Place(tmp_path / "other", s3_url).server(is_open=False)

    assert await content_of(reader, f"{stored.sha256}.png") == b"picture"
    assert not (tmp_path / "other").exists()
