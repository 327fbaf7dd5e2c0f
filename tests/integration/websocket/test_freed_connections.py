"""What is left of a connection that has ended: nothing, and the garbage collector is not needed.

With reference cycles all of it would wait for a collection of old objects, which is rare, and so
each storm of connections would take more memory than the one before.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from phoenix_compat import Endpoint, Socket, error, ok
from phoenix_compat.result import Result
from phoenix_compat.runtime.channel_server import ChannelServer
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.transports.aiohttp.connection import WebSocketConnection
from tests.conftest import Open, Serve
from tests.integration.echo_app import OpenChannel
from tests.integration.operations.commands import server
from tests.integration.websocket.test_idle_memory import joined, resident_bytes
from tests.serving import accepting, socket_app
from tests.wire import V2, PhoenixWire

STORMS = 4
CONNECTIONS = 1_000
MAX_GROWTH_BYTES = 2_000_000
"""About half of what the garbage of three storms takes."""


class RoomChannel(OpenChannel):
    """A channel that refuses some joins and waits in others, and whose `terminate` waits."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        await asyncio.sleep(0)
        return error() if "refuse" in payload else ok()

    async def terminate(self, reason: Any, socket: Socket) -> None:
        await asyncio.sleep(0)


_TURNS = 20
"""After so many turns of the event loop nothing is left to run."""
_OURS = (WebSocketConnection, SocketServer, Outbox, ChannelServer, Socket, RoomChannel)


@pytest.fixture
def alive() -> Iterator[Callable[[], list[str]]]:
    """A function that returns the types of the connections' objects that are new in this test.

    Nothing is collected until the end of the test.
    """
    gc.collect()
    gc.disable()
    # Not isinstance: it asks lazy objects of Django, which another test may have left.
    older = [one for one in gc.get_objects() if issubclass(type(one), _OURS)]
    known = {id(one) for one in older}

    def newer() -> list[str]:
        present = [one for one in gc.get_objects() if issubclass(type(one), _OURS)]
        return [type(one).__name__ for one in present if id(one) not in known]

    yield newer
    gc.enable()


async def _nothing(_wire: PhoenixWire) -> None:
    """Leave the channel joined."""


async def _leave(wire: PhoenixWire) -> None:
    await wire.send(["1", "2", "room:a", "phx_leave", {}])
    await wire.recv_many(2)


async def _rejoin(wire: PhoenixWire) -> None:
    await wire.send(["2", "2", "room:a", "phx_join", {}])
    await wire.recv_many(2)


async def _refused(wire: PhoenixWire) -> None:
    await wire.ask(["2", "2", "room:b", "phx_join", {"refuse": True}])


@pytest.mark.parametrize("before_the_end", [_nothing, _leave, _rejoin, _refused])
@pytest.mark.parametrize("is_closed_by_server", [False, True])
async def test_a_connection_is_freed_when_it_ends(
    serve: Serve,
    open_wire: Open,
    alive: Callable[[], list[str]],
    before_the_end: Callable[[PhoenixWire], Awaitable[None]],
    *,
    is_closed_by_server: bool,
) -> None:
    """D7: the connection, its channels and their sockets are freed at once."""
    endpoint = Endpoint()
    app = socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint)
    wire = await open_wire(await serve(app), f"{V2}&user=a")
    await wire.join("room:a")
    await before_the_end(wire)
    assert "WebSocketConnection" in alive()

    if is_closed_by_server:
        endpoint.broadcast("user:a", "disconnect", {})
        assert await wire.recv_close() == 1001
    await wire.close()
    await endpoint.close()  # waits for the callbacks
    for _ in range(_TURNS):
        await asyncio.sleep(0)

    assert alive() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, which is Linux's")
async def test_storms_of_connections_do_not_add_up() -> None:
    """D7: after the first storm, further ones use the same memory again."""
    command = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
    async with server(*command) as (process, url):
        sizes = []
        for _storm in range(STORMS):
            with ExitStack() as clients:
                for _ in range(CONNECTIONS):
                    clients.enter_context(joined(url))
            with joined(url):  # by then the server has seen that the others are gone
                sizes.append(resident_bytes(process.pid))

    assert sizes[-1] - sizes[0] < MAX_GROWTH_BYTES, sizes
