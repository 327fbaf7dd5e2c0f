"""Tests of `tests/event_loops.py`: the last connections of a loop that closes."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref

import pytest

from tests.patience import patient


async def _cancel_a_handler_before_it_begins() -> weakref.ref[asyncio.BaseTransport]:
    """Returns the connection, which nothing has closed."""
    handler: asyncio.Task[None] | None = None
    found: weakref.ref[asyncio.BaseTransport] | None = None
    is_accepted = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal handler, found
        found = weakref.ref(writer.transport)
        handler = asyncio.create_task(answer(writer))
        handler.cancel()
        is_accepted.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        async with asyncio.timeout(patient(5.0)):
            await is_accepted.wait()
        assert handler is not None
        await asyncio.wait([handler])
    server.close()
    assert found is not None
    return found


@pytest.mark.filterwarnings("error")
def test_a_connection_whose_handler_never_began_is_ended() -> None:
    """The loop frees its socket; without that, the next test would be charged with it."""
    connection = asyncio.run(_cancel_a_handler_before_it_begins())
    gc.collect()

    assert connection() is None
