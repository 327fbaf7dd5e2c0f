"""The studio."""

from __future__ import annotations

import asyncio
import threading

import pytest

from phoenix_compat.emulator.pictures import picture_cache as studio_module
from phoenix_compat.emulator.pictures.picture import PictureOrder
from phoenix_compat.emulator.pictures.picture_cache import Studio


@pytest.fixture
def drawn_in(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which pictures were drawn, one per picture."""
    threads: list[threading.Thread] = []

    def draw(order: PictureOrder) -> bytes:
        threads.append(threading.current_thread())
        return order.prompt.encode()

    monkeypatch.setattr(studio_module, "draw_picture", draw)
    return threads


async def test_a_picture_is_drawn_once(drawn_in: list[threading.Thread]) -> None:
    """Asked for at the same time and again later, it is drawn once, in a thread."""
    studio, order = Studio(), PictureOrder("x", 64, 64, "png")

    together = await asyncio.gather(*(studio.picture(order) for _ in range(3)))
    later = await studio.picture(order)

    assert {*together, later} == {b"x"}
    assert len(drawn_in) == 1
    assert drawn_in[0] is not threading.main_thread()


async def test_pictures_unused_for_long_are_dropped(drawn_in: list[threading.Thread]) -> None:
    """The studio keeps a bounded number, the last used."""
    studio = Studio()
    orders = [PictureOrder(str(number), 64, 64, "png") for number in range(70)]
    for order in orders:
        await studio.picture(order)

    await studio.picture(orders[-1])
    await studio.picture(orders[0])

    assert len(drawn_in) == 71
