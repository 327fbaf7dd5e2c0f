"""Draws pictures in threads, each once, and caches the most recently used ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from phoenix_compat.emulator.pictures.picture import PictureRequest, draw_picture

# About 200 kB each. An evicted picture is drawn again when it is requested.
_MAX_CACHED = 64
# Drawing is CPU-bound, and the server runs on the same machine.
_MAX_DRAWING = 2


class PictureCache:
    """The picture cache of one emulator, with LRU eviction."""

    def __init__(self) -> None:
        self._drawings: OrderedDict[PictureRequest, asyncio.Task[bytes]] = OrderedDict()
        self._draw_slots = asyncio.Semaphore(_MAX_DRAWING)

    async def picture(self, request: PictureRequest) -> bytes:
        """The encoded picture. It is drawn in a thread, so the event loop is not blocked."""
        drawing = self._drawings.get(request)
        if drawing is None or drawing.cancelled():
            drawing = asyncio.create_task(self._draw(request))
            self._drawings[request] = drawing
        self._drawings.move_to_end(request)
        while len(self._drawings) > _MAX_CACHED:
            self._drawings.popitem(last=False)
        # Shielded: other requests may be waiting for the same picture.
        return await asyncio.shield(drawing)

    async def close(self) -> None:
        """Drop all pictures, and cancel those that are being drawn."""
        drawings = list(self._drawings.values())
        self._drawings.clear()
        for drawing in drawings:
            drawing.cancel()
        await asyncio.gather(*drawings, return_exceptions=True)

    async def _draw(self, request: PictureRequest) -> bytes:
        async with self._draw_slots:
            return await asyncio.to_thread(draw_picture, request)
