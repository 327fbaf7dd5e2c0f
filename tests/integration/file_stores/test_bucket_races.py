"""Servers that keep and delete the same file of a bucket at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_stores.s3 import bucket as bucket_module
from phoenix_compat.tasks.archive.file_stores.s3 import deletion, keys
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket, StoredObject
from tests.integration.file_stores.places import FAST, Place, content_of, keep
from tests.patience import patient

Action = Callable[[], Awaitable[object]]


@pytest.fixture
def place(tmp_path: Path, s3_url: str) -> Place:
    """An empty bucket."""
    return Place(tmp_path, s3_url)


def before(monkeypatch: pytest.MonkeyPatch, method: str, ending: str, action: Action) -> None:
    """Do something before the first request of a kind about a key with this ending."""
    original = getattr(Bucket, method)
    waiting = [action]

    async def ask(self: Bucket, key: str, *given: object) -> object:
        if ending in key and waiting:
            await waiting.pop()()
        return await original(self, key, *given)

    monkeypatch.setattr(Bucket, method, ask)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys of objects that are an hour older than they say, until they are stored again."""
    keys_of_old: set[str] = set()
    read, put = bucket_module._stored_object, Bucket.put

    def stored_object(meta: Any) -> StoredObject:
        one = read(meta)
        age = timedelta(hours=1 if one.key in keys_of_old else 0)
        return one._replace(modified_at=one.modified_at - age)

    async def put_again(self: Bucket, key: str, *given: Any) -> None:
        await put(self, key, *given)
        keys_of_old.discard(key)

    monkeypatch.setattr(bucket_module, "_stored_object", stored_object)
    monkeypatch.setattr(Bucket, "put", put_again)
    return keys_of_old


async def old_file(place: Place, old: set[str]) -> str:
    """A file that may be deleted, since it was kept an hour ago."""
    stored = await keep(await place.server())
    old.add(stored.relative)
    return stored.sha256


async def until_used(place: Place) -> None:
    """Wait until a server has marked a file as used."""
    async with asyncio.timeout(patient(5.0)):
        while not any(key.endswith(".used") for key in await left_in(place)):
            pass


async def left_in(place: Place) -> list[str]:
    """The keys of the bucket."""
    return [one.key async for one in place.bucket().list()]


async def test_a_file_that_is_used_before_its_age_is_read_stays(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who deletes it sees the mark of the one who uses it."""
    sha256 = await old_file(place, old)
    sweeper, user = await place.server(grace_s=60.0), await place.server()
    used = keys.used_key(sha256)
    before(
        monkeypatch,
        "put",
        ".deleting-",
        lambda: place.bucket().put(used, b"", 0, "application/octet-stream"),
    )

    freed = await sweeper.discard([sha256])

    assert (freed, await user.touch(sha256)) == (0, True)
    assert await content_of(user, sha256) == b"picture"


async def test_a_file_that_is_used_while_it_is_deleted_is_gone_for_the_user(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user waits until the deletion has ended, and learns that the file is gone."""
    sha256 = await old_file(place, old)
    sweeper, user = await place.server(grace_s=60.0), await place.server()
    touching: list[asyncio.Task[bool]] = []

    async def use() -> None:
        touching.append(asyncio.create_task(user.touch(sha256)))
        await until_used(place)

    before(monkeypatch, "delete", "thumbnails/", use)
    freed = await sweeper.discard([sha256])

    assert (freed, await touching[0]) == (len(b"picture"), False)
    assert await user.find(sha256) is None


async def test_a_file_that_is_kept_while_it_is_deleted_is_stored_again(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the content stores it again once the deletion has ended."""
    sha256 = await old_file(place, old)
    sweeper, user = await place.server(grace_s=60.0), await place.server()
    keeping: list[asyncio.Task[object]] = []

    async def store() -> None:
        keeping.append(asyncio.create_task(keep(user)))
        await until_used(place)

    before(monkeypatch, "delete", "thumbnails/", store)
    await sweeper.discard([sha256])
    await asyncio.gather(*keeping)

    assert await content_of(user, sha256) == b"picture"


async def test_two_sweepers_do_not_hide_each_other(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one of them still deletes, the file counts as being deleted."""
    sha256 = await old_file(place, old)
    first, second = await place.server(grace_s=60.0), await place.server(grace_s=60.0)
    seen: list[bool] = []

    async def sweep_too() -> None:
        await second.discard([sha256])
        found = await deletion.objects_of(place.bucket(), sha256)
        seen.append(bool(found.deleting))

    before(monkeypatch, "delete", "thumbnails/", sweep_too)
    await first.discard([sha256])

    assert seen == [True]
    assert await left_in(place) == []


async def test_a_sweeper_that_was_killed_blocks_nobody_for_long(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark counts for a minute, and the next deletion removes it."""
    sha256 = await old_file(place, old)
    mark = keys.deleting_key(sha256, "dead")
    await place.bucket().put(mark, b"", 0, "application/octet-stream")
    monkeypatch.setattr("phoenix_compat.tasks.archive.file_stores.s3.s3_files._LOOK_S", 0.01)
    with pytest.raises(FileStoreError, match="deleting the same file"):
        await (await place.server()).touch(sha256)
    old.add(mark)

    assert await (await place.server()).touch(sha256)
    await (await place.server(grace_s=0.0)).discard([sha256])

    assert await left_in(place) == []


async def test_a_deletion_that_takes_too_long_stops(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves its mark, since a request of it may still arrive."""
    sha256 = await old_file(place, old)
    monkeypatch.setattr(deletion, "MAX_DELETION_S", patient(0.6))
    before(monkeypatch, "delete", "thumbnails/", lambda: asyncio.sleep(60.0))

    with pytest.raises(FileStoreError, match="not deleted within"):
        await (await place.server(grace_s=0.0)).discard([sha256])

    marks = [key for key in await left_in(place) if ".deleting-" in key]
    assert len(marks) == 1
    assert await content_of(await place.server(), sha256) == b"picture"


async def test_a_sweeper_that_was_stopped_deletes_nothing_afterwards(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGSTOP, between what it has read and what it deletes."""
    sha256 = await old_file(place, old)
    look = deletion.objects_of

    async def look_and_stop(*given: Any) -> deletion.FileObjects:
        found = await look(*given)
        now_s = time.monotonic() + deletion.STALE_S
        # For the deletion alone: the timers of the event loop have not run yet.
        monkeypatch.setattr(deletion, "time", SimpleNamespace(monotonic=lambda: now_s))
        return found

    monkeypatch.setattr(deletion, "objects_of", look_and_stop)

    with pytest.raises(FileStoreError, match="not deleted within"):
        await (await place.server(grace_s=60.0)).discard([sha256])

    monkeypatch.undo()
    assert await content_of(await place.server(), sha256) == b"picture"


async def test_a_lost_answer_to_a_deletion_does_not_lose_a_new_file(
    place: Place, old: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second, repeated request arrives after the file was stored again."""
    sha256 = await old_file(place, old)
    sweeper, user = await place.server(grace_s=60.0), await place.server()
    key = keys.file_key(sha256, "png")
    keeping: list[asyncio.Task[object]] = []
    put = Bucket.put
    is_stored = asyncio.Event()

    async def noted(self: Bucket, name: str, *given: object) -> None:
        await put(self, name, *given)  # type: ignore[arg-type]
        if name == key:
            is_stored.set()

    async def lose_the_answer() -> None:
        await Bucket(place.bucket()._location, FAST).delete(key)
        keeping.append(asyncio.create_task(keep(user)))
        await is_stored.wait()

    before(monkeypatch, "delete", f"{sha256}.png", lose_the_answer)
    monkeypatch.setattr(Bucket, "put", noted)
    await sweeper.discard([sha256])
    await asyncio.gather(*keeping)

    assert await content_of(user, sha256) == b"picture"


def test_the_marks_are_not_files() -> None:
    """Keys say what an object is; thumbnails and other objects are nobody's."""
    sha256 = "ab" * 32
    parts = keys.key_parts(keys.deleting_key(sha256, "00ff"))

    assert parts is not None
    assert (parts.sha256, parts.is_deleting, parts.is_file) == (sha256, True, False)
    assert keys.key_parts(keys.thumbnail_key(sha256)) is None
    assert keys.key_parts(f"00/00/{sha256}.png") is None
    assert keys.key_parts("notes.txt") is None


def test_no_mark_of_an_absent_file_counts() -> None:
    """What is not there cannot be deleted any more."""
    found = deletion.FileObjects(deleting=[StoredObject("x", 0, None)])  # type: ignore[arg-type]

    assert not found.is_being_deleted(60.0)
