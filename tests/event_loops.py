"""What an event loop of a test leaves behind when it closes."""

from __future__ import annotations

import asyncio
from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any

_close = BaseSelectorEventLoop.close


def end_connections_at_close() -> None:
    """Make event loops end the last connections of stream servers before they close.

    A server may accept a connection in the last turns of a loop. Its handler is cancelled before
    it begins, so nothing closes the connection, and the next test would be charged with it. Other
    connections that a test leaves open are reported as before.
    """
    BaseSelectorEventLoop.close = _close_quietly  # type: ignore[assignment, method-assign]


def _close_quietly(loop: BaseSelectorEventLoop) -> None:
    transports: Any = getattr(loop, "_transports", {})
    remaining = [] if loop.is_closed() else list(transports.values())
    for transport in remaining:
        if isinstance(transport.get_protocol(), asyncio.StreamReaderProtocol):
            transport.abort()
    if remaining:
        loop.run_until_complete(asyncio.sleep(0))  # those that are closing free their sockets
    _close(loop)
