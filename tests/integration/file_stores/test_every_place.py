"""What holds for every place where files are kept."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive.errors import ArchiveFullError
from tests.integration.file_stores.places import HOUR_S, ClockAhead, Place, content_of, keep

MISSING = "0" * 64


@pytest.fixture(params=["folder", "shared folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of each kind."""
    if request.param == "bucket":
        return Place(tmp_path / "files", request.getfixturevalue("s3_url"))
    return Place(tmp_path / "files", is_shared=request.param == "shared folder")


async def test_a_file_is_found_by_hash_and_by_name(place: Place) -> None:
    """With its content; and it is new only once."""
    files = await place.server()

    first, again = await keep(files), await keep(files)

    sha256 = hashlib.sha256(b"picture").hexdigest()
    assert first.relative == again.relative == f"{sha256[:2]}/{sha256[2:4]}/{sha256}.png"
    assert (first.is_new, again.is_new) == (True, False)
    assert (first.sha256, first.size_bytes) == (sha256, 7)
    assert await content_of(files, sha256) == b"picture"
    assert await content_of(files, f"{sha256}.png") == b"picture"
    assert files.total_bytes == 7


async def test_other_servers_see_it(place: Place) -> None:
    """At once, after a start, and without one."""
    stored = await keep(await place.server())

    assert await content_of(await place.server(), stored.sha256) == b"picture"


@pytest.mark.parametrize(
    "name", ["", "..", "{0}.gif", "{0}.used", "{0}.exe", "{0}/", "{0}\n", "x/../{0}", "A" * 64]
)
async def test_other_names_are_not_found(place: Place, name: str) -> None:
    """Neither of other types, nor of what is not a file."""
    files = await place.server()
    stored = await keep(files)
    await files.touch(stored.sha256)

    assert await files.find(name.format(stored.sha256)) is None
    assert await files.find(name.format(stored.sha256), is_thumbnail=True) is None


async def test_a_thumbnail_belongs_to_its_file(place: Place) -> None:
    """It is found by the same hash, and is deleted with the file."""
    files = await place.server(grace_s=0.0)
    stored = await keep(files)
    assert await files.thumbnail(stored.sha256) is None

    path = await files.add_thumbnail(stored.sha256, b"small")

    assert path == f"thumbnails/{stored.relative}".replace(".png", ".webp")
    assert await files.thumbnail(stored.sha256) == path
    assert await content_of(files, stored.sha256, is_thumbnail=True) == b"small"
    assert await content_of(files, f"{stored.sha256}.webp", is_thumbnail=True) == b"small"
    assert files.total_bytes == 12
    assert await files.discard([stored.sha256]) >= len(b"picture")
    assert await files.thumbnail(stored.sha256) is None


async def test_only_what_is_there_can_be_touched(place: Place) -> None:
    """Nothing is made by it."""
    files = await place.server()
    stored = await keep(files)

    assert [await files.touch(one) for one in (stored.sha256, MISSING, "x")] == [True, False, False]
    assert [one async for one in files.old_hashes(-HOUR_S)] == [{stored.sha256}]


async def test_a_file_within_the_grace_period_is_not_deleted(place: Place) -> None:
    """Not by its hash, not by its age, and not for others."""
    clock = ClockAhead()
    files = await place.server(clock=clock)
    stored = await keep(files)
    clock.ahead_s = HOUR_S - 10.0

    assert await files.discard([stored.sha256]) == 0
    assert await files.prune(0.5, 0) == 0
    assert await content_of(files, stored.sha256) == b"picture"


async def test_a_given_age_takes_the_place_of_the_grace_period(place: Place) -> None:
    """For the sweep, whose margin is longer."""
    files = await place.server(grace_s=0.0)
    stored = await keep(files)

    assert await files.discard([stored.sha256], HOUR_S) == 0
    assert await files.discard([stored.sha256, MISSING, "x"]) == len(b"picture")
    assert await files.find(stored.sha256) is None
    assert (files.pruned, files.total_bytes) == (1, 0)


async def test_old_files_are_pruned(place: Place) -> None:
    """By their age alone, those that are older."""
    clock = ClockAhead()
    files = await place.server(grace_s=0.0, clock=clock)
    await keep(files, b"first")
    assert await files.prune(HOUR_S, None) == 0
    clock.ahead_s = HOUR_S + 10.0

    assert await files.prune(HOUR_S, None) == 1
    assert (files.pruned, files.total_bytes) == (1, 0)


async def test_files_are_pruned_by_size(place: Place) -> None:
    """Until the rest fits."""
    files = await place.server(grace_s=0.0)
    for number in range(5):
        await keep(files, b"%d" % number * 100)

    assert await files.prune(None, 250) == 3
    assert files.total_bytes == 200
    assert await files.prune(None, 0) == 2


async def test_the_limit_for_all_files(place: Place) -> None:
    """A server that has just started counts the files of others; old ones make room."""
    await keep(await place.server(), b"a" * 100)
    careful = await place.server(max_total_bytes=150)
    with pytest.raises(ArchiveFullError, match="150 bytes"):
        await keep(careful, b"b" * 100)
    ready = await place.server(max_total_bytes=150, grace_s=0.0)

    await keep(ready, b"b" * 100)

    assert ready.total_bytes == 100
    ready.set_max_total_bytes(None)
    await keep(ready, b"c" * 100)
    assert ready.total_bytes == 200


async def test_old_hashes(place: Place) -> None:
    """Those that were kept longer ago."""
    clock = ClockAhead()
    files = await place.server(clock=clock)
    hashes = {(await keep(files, b"%d" % number)).sha256 for number in range(3)}
    young = [one async for one in files.old_hashes(HOUR_S)]
    clock.ahead_s = HOUR_S + 10.0

    old = [one async for one in files.old_hashes(HOUR_S)]

    assert young == []
    assert [set(one) for one in old] == [hashes]


async def test_many_servers_keep_the_same_file_at_once(place: Place) -> None:
    """Each can use it, and there is one copy."""
    servers = [await place.server() for _ in range(4)]

    stored = await asyncio.gather(*(keep(one, b"x" * 5_000) for one in servers))

    assert len({one.relative for one in stored}) == 1
    assert await content_of(servers[0], stored[0].sha256) == b"x" * 5_000
    assert await servers[0].prune(None, None) == 0
    assert servers[0].total_bytes == 5_000


async def test_an_unfinished_file_is_not_there(place: Place) -> None:
    """A server that dies before the file is complete leaves nothing that others see."""
    files = await place.server()
    incoming = files.incoming()
    await asyncio.to_thread(incoming.write, b"half")

    assert await files.find(incoming.sha256) is None
    assert [one async for one in files.old_hashes(-HOUR_S)] == []
    await asyncio.to_thread(incoming.discard)
