"""The client of one HTTP request: reads its body, and notices when it disconnects."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from phoenix_compat.runtime.limits import Counters
from phoenix_compat.transports.asgi.types import Receive
from phoenix_compat.transports.response import HttpResponse, refusal

log = logging.getLogger(__name__)

_BODY_TIMEOUT_S: Final = 60.0
"""The limit for a whole body; ASGI servers have none."""


class AsgiClient:
    """See long_poll.Client. Use it as a context manager."""

    __slots__ = ("_counters", "_is_gone", "_receive", "_watching")

    def __init__(self, receive: Receive, counters: Counters) -> None:
        self._receive = receive
        self._counters = counters
        self._is_gone = False
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> AsgiClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._watching is not None:
            self._watching.cancel()

    @property
    def is_gone(self) -> bool:
        """See long_poll.Client. Begins to watch when it is asked for the first time."""
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self._is_gone

    async def _watch(self) -> None:
        """Wait until the client disconnects."""
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except Exception as error:  # noqa: BLE001 - the server cannot say more of this client
            log.debug("an ASGI server's receive() failed: %r", error)
        self._is_gone = True

    async def read_body(self, max_bytes: int) -> bytes | HttpResponse:
        """See long_poll.Client."""
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                while True:
                    event = await self._receive()
                    if event["type"] == "http.disconnect":
                        return refusal(400, closes=True)
                    body += event.get("body", b"")
                    if len(body) > max_bytes:
                        return refusal(400, closes=True)
                    if not event.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            self._counters.frames_timed_out += 1
            log.info("refusing a long-poll request with 408: its body did not arrive in time")
            return refusal(408, closes=True)
