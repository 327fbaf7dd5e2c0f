"""The picture cache."""

from __future__ import annotations

import asyncio
import threading

import pytest

from phoenix_compat.emulator.pictures.picture_cache import PictureCache
from phoenix_compat.emulator.pictures.picture_request import PictureRequest


@pytest.fixture
def drawing_threads(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which pictures were drawn, one per picture."""
    threads: list[threading.Thread] = []

    def draw(request: PictureRequest) -> bytes:
        threads.append(threading.current_thread())
        return request.prompt.encode()

    monkeypatch.setattr("phoenix_compat.emulator.pictures.picture.draw_picture", draw)
    return threads


async def test_a_picture_is_drawn_once(drawing_threads: list[threading.Thread]) -> None:
    """Concurrent and later requests for a picture draw it once, in a thread."""
    picture_cache, request = PictureCache(), PictureRequest("x", 64, 64, "png")

    together = await asyncio.gather(*(picture_cache.picture(request) for _ in range(3)))
    later = await picture_cache.picture(request)

    assert {*together, later} == {b"x"}
    assert len(drawing_threads) == 1
    assert drawing_threads[0] is not threading.main_thread()


async def test_pictures_unused_for_long_are_dropped(
    drawing_threads: list[threading.Thread],
) -> None:
    """The cache holds a limited number of pictures and evicts the least recently used."""
    picture_cache = PictureCache()
    requests = [PictureRequest(str(number), 64, 64, "png") for number in range(70)]
    for request in requests:
        await picture_cache.picture(request)

    await picture_cache.picture(requests[-1])
    await picture_cache.picture(requests[0])

    assert len(drawing_threads) == 71


async def test_large_pictures_are_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pictures together have a limit; the one that was just made stays."""
    monkeypatch.setattr("phoenix_compat.emulator.pictures.picture_cache._MAX_CACHED_BYTES", 100)
    picture_cache = PictureCache()
    made: list[str] = []

    async def get(key: str, size_bytes: int) -> None:
        def make() -> bytes:
            made.append(key)
            return bytes(size_bytes)

        assert len(await picture_cache.altered(key, make)) == size_bytes

    for key, size_bytes in (("a", 60), ("b", 60), ("b", 60), ("a", 60), ("c", 500), ("c", 500)):
        await get(key, size_bytes)

    assert made == ["a", "b", "a", "c"]


async def test_a_failure_is_not_cached() -> None:
    """The next request tries again."""
    picture_cache = PictureCache()

    def fail() -> bytes:
        raise OSError("no memory")

    with pytest.raises(OSError, match="no memory"):
        await picture_cache.altered("a", fail)

    assert await picture_cache.altered("a", lambda: b"picture") == b"picture"
