"""Hands out pictures: drawn in a thread, each once, the last ones kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from phoenix_compat.emulator.pictures.picture import PictureRequest, draw_picture

# About 200 kB each. A picture that has gone is simply drawn again.
_MAX_KEPT = 64
# Two at a time: drawing is all CPU, and the server shares the machine.
_MAX_DRAWING = 2


class PictureCache:
    """The pictures of an emulator."""

    def __init__(self) -> None:
        # A finished task is the kept picture, an unfinished one is the promise of it.
        self._drawings: OrderedDict[PictureRequest, asyncio.Task[bytes]] = OrderedDict()
        self._easels = asyncio.Semaphore(_MAX_DRAWING)

    async def picture(self, order: PictureRequest) -> bytes:
        """The encoded picture; the event loop stays free while it is drawn."""
        drawing = self._drawings.get(order)
        if drawing is None or drawing.cancelled():
            drawing = asyncio.create_task(self._draw(order))
            self._drawings[order] = drawing
        self._drawings.move_to_end(order)
        while len(self._drawings) > _MAX_KEPT:
            self._drawings.popitem(last=False)
        # Shielded: when one who waits leaves, others may be waiting for the same picture.
        return await asyncio.shield(drawing)

    async def close(self) -> None:
        """Let go of every picture, and wait for none."""
        drawings = list(self._drawings.values())
        self._drawings.clear()
        for drawing in drawings:
            drawing.cancel()
        await asyncio.gather(*drawings, return_exceptions=True)

    async def _draw(self, order: PictureRequest) -> bytes:
        async with self._easels:
            return await asyncio.to_thread(draw_picture, order)
