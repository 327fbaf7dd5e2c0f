"""Draws pictures in threads, each once, and caches the most recently used ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial

from phoenix_compat.emulator.pictures.picture_request import PictureRequest

# About 200 kB each. An evicted picture is drawn again when it is requested.
_MAX_CACHED = 64
# Pictures that were changed may have 50 megapixels.
_MAX_CACHED_BYTES = 64 * 2**20
# Drawing is CPU-bound, and the server runs on the same machine.
_MAX_DRAWING = 2
# Changing a large picture needs a hundred megabytes.
_MAX_ALTERING = 1


class PictureCache:
    """The picture cache of one emulator, with LRU eviction."""

    def __init__(self) -> None:
        self._drawings: OrderedDict[Hashable, asyncio.Task[bytes]] = OrderedDict()
        self._draw_slots = asyncio.Semaphore(_MAX_DRAWING)
        self._alter_slots = asyncio.Semaphore(_MAX_ALTERING)

    async def picture(self, request: PictureRequest) -> bytes:
        """The encoded picture. It is drawn in a thread, so the event loop is not blocked."""
        return await self._cached(request, self._draw_slots, lambda: _draw(request))

    async def altered(self, key: str, alter: Callable[[], bytes]) -> bytes:
        """A picture that was changed.

        Args:
            key: the same picture has the same key.
            alter: makes the encoded picture; called in a thread. What it raises is raised here.
        """
        return await self._cached(key, self._alter_slots, alter)

    async def close(self) -> None:
        """Drop all pictures, and cancel those that are being drawn."""
        drawings = list(self._drawings.values())
        self._drawings.clear()
        for drawing in drawings:
            drawing.cancel()
        await asyncio.gather(*drawings, return_exceptions=True)

    async def _cached(
        self, key: Hashable, slots: asyncio.Semaphore, draw: Callable[[], bytes]
    ) -> bytes:
        drawing = self._drawings.get(key)
        if drawing is None or _has_failed(drawing):
            drawing = asyncio.create_task(_drawn(slots, draw))
            drawing.add_done_callback(partial(self._evict, key))
            self._drawings[key] = drawing
        self._drawings.move_to_end(key)
        while len(self._drawings) > _MAX_CACHED:
            self._drawings.popitem(last=False)
        # Shielded: other requests may be waiting for the same picture.
        return await asyncio.shield(drawing)

    def _evict(self, newest: Hashable, _drawing: asyncio.Task[bytes]) -> None:
        """Drop the pictures that were not used for longest while all together are too large."""
        sizes = {
            key: len(drawing.result())
            for key, drawing in self._drawings.items()
            if drawing.done() and not _has_failed(drawing)
        }
        total_bytes = sum(sizes.values())
        for key, size_bytes in sizes.items():
            if total_bytes <= _MAX_CACHED_BYTES:
                return
            if key != newest:
                del self._drawings[key]
                total_bytes -= size_bytes


def _draw(request: PictureRequest) -> bytes:
    from phoenix_compat.emulator.pictures.picture import draw_picture  # noqa: PLC0415 - Pillow

    return draw_picture(request)


async def _drawn(slots: asyncio.Semaphore, draw: Callable[[], bytes]) -> bytes:
    async with slots:
        return await asyncio.to_thread(draw)


def _has_failed(drawing: asyncio.Task[bytes]) -> bool:
    return drawing.cancelled() or (drawing.done() and drawing.exception() is not None)
