"""The picture cache."""

from __future__ import annotations

import asyncio
import threading

import pytest

from phoenix_compat.emulator.pictures import picture_cache as studio_module
from phoenix_compat.emulator.pictures.picture import PictureRequest
from phoenix_compat.emulator.pictures.picture_cache import PictureCache


@pytest.fixture
def drawn_in(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which pictures were drawn, one per picture."""
    threads: list[threading.Thread] = []

    def draw(order: PictureRequest) -> bytes:
        threads.append(threading.current_thread())
        return order.prompt.encode()

    monkeypatch.setattr(studio_module, "draw_picture", draw)
    return threads


async def test_a_picture_is_drawn_once(drawn_in: list[threading.Thread]) -> None:
    """Asked for at the same time and again later, it is drawn once, in a thread."""
    picture_cache, order = PictureCache(), PictureRequest("x", 64, 64, "png")

    together = await asyncio.gather(*(picture_cache.picture(order) for _ in range(3)))
    later = await picture_cache.picture(order)

    assert {*together, later} == {b"x"}
    assert len(drawn_in) == 1
    assert drawn_in[0] is not threading.main_thread()


async def test_pictures_unused_for_long_are_dropped(drawn_in: list[threading.Thread]) -> None:
    """The picture cache keeps a bounded number, the last used."""
    picture_cache = PictureCache()
    orders = [PictureRequest(str(number), 64, 64, "png") for number in range(70)]
    for order in orders:
        await picture_cache.picture(order)

    await picture_cache.picture(orders[-1])
    await picture_cache.picture(orders[0])

    assert len(drawn_in) == 71
