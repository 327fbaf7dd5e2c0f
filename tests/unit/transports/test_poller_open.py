"""What is left of an asyncio transport whose connection the poller has taken over."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref

import pytest

from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.transports.aiohttp.poller import IS_AVAILABLE, Poller

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="this system has no epoll")


async def test_the_transport_is_freed_at_once() -> None:
    """It is no work for the garbage collector, whose collections stop all connections."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
    poller = Poller(Tick(), bytearray(1_024))
    gc.disable()
    try:
        stream = poller.open(transport)
        reference = weakref.ref(transport)
        del transport
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert stream is not None
        assert reference() is None
    finally:
        gc.enable()
        theirs.close()
        ours.close()
