"""The list of clients: what it shows, its pages, and disconnecting."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest

from phoenix_compat.channel import Channel
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import Result, ok
from phoenix_compat.server.auth.principal import TASK_SCOPES, Principal
from phoenix_compat.server.inspection.processes import OneProcess, ProcessError
from phoenix_compat.server.inspection.sockets import (
    ClientPage,
    SocketQuery,
    Sockets,
    UnknownSocketError,
)
from phoenix_compat.socket import ConnectInfo, Socket, SocketHandler
from phoenix_compat.testing import ChannelTest


class Room(Channel):
    """Accepts everybody."""

    async def join(self, _topic: str, _payload: Any, _socket: Socket) -> Result:
        """Accept."""
        return ok()


class UserSocket(SocketHandler):
    """The owner is a parameter."""

    channels: ClassVar[Any] = {"room:*": Room}

    def connect(self, params: Params, socket: Socket, connect_info: ConnectInfo) -> Result:
        """Accept."""
        del connect_info
        principal = Principal(owner=str(params["owner"]), scopes=TASK_SCOPES)
        socket.assign(principal=principal, address="192.0.2.1")
        return ok()


@pytest.fixture
def endpoint() -> Endpoint:
    """An endpoint of its own."""
    return Endpoint()


@pytest.fixture
def sockets(endpoint: Endpoint) -> Sockets:
    """The sockets of a server with one process."""
    return Sockets(endpoint, OneProcess())


def owners(page: ClientPage) -> list[str | None]:
    """The owners of a page's clients, in its order."""
    return [client.owner for client in page.clients]


async def test_a_client_is_described(endpoint: Endpoint, sockets: Sockets) -> None:
    """The list has owner, handler, transport, topics and ages; a topic cannot forge a line."""
    async with ChannelTest(endpoint) as channels:
        client = await channels.connect(UserSocket, {"owner": "ann"})
        await client.join("room:lobby")
        await client.join("room:\x1b[2J")
        await client.send(None, "phoenix", "heartbeat", {})

        page = await sockets.list(SocketQuery())

        (found,) = page.clients
        assert (page.found, page.connected, page.silent) == (1, 1, ())
        assert (found.id, found.owner, found.handler) == ("0-1", "ann", "UserSocket")
        assert (found.topics, found.joined) == (("room:lobby", "room:\\x1b[2J"), 2)
        assert (found.unsent_bytes, found.address) == (0, "192.0.2.1")
        assert 0.0 <= found.age_s < 60.0
        assert found.heartbeat_age_s is not None


async def test_pages_have_an_order_and_a_filter(endpoint: Endpoint, sockets: Sockets) -> None:
    """Newest first or oldest first; by owner, or by a text in topic or owner."""
    async with ChannelTest(endpoint) as channels:
        for name in ("ann", "bob", "eve"):
            client = await channels.connect(UserSocket, {"owner": name})
            await client.join(f"room:of-{name}")

        async def listed(**query: Any) -> list[str | None]:
            return owners(await sockets.list(SocketQuery(**query)))

        assert await listed() == ["eve", "bob", "ann"]
        assert await listed(order="oldest") == ["ann", "bob", "eve"]
        assert await listed(offset=1, limit=1) == ["bob"]
        assert await listed(offset=5) == []
        assert await listed(text="of-ann") == ["ann"]
        assert await listed(text="bo") == ["bob"]
        assert await listed(owner="eve") == ["eve"]
        page = await sockets.list(SocketQuery(owner="ev"))
        assert (page.found, page.connected) == (0, 3)


async def test_disconnecting_one_client_and_an_owner(endpoint: Endpoint, sockets: Sockets) -> None:
    """Only the one with this id is closed, or all of this owner, with 1001."""
    async with ChannelTest(endpoint) as channels:
        clients = [
            await channels.connect(UserSocket, {"owner": name}) for name in ("ann", "bob", "bob")
        ]
        await clients[0].join("room:lobby")

        assert (await sockets.disconnect("0-1")).clients == 1
        assert [client.close_code for client in clients] == [1001, None, None]
        assert (await sockets.disconnect_owner("bob")).clients == 2
        assert [client.close_code for client in clients] == [1001, 1001, 1001]
        assert (await sockets.disconnect_owner("bob")).clients == 0


@pytest.mark.parametrize(
    ("client_id", "error"),
    [
        ("0-7", UnknownSocketError),
        ("7", UnknownSocketError),
        ("0-x", UnknownSocketError),
        ("0-" + "9" * 30, UnknownSocketError),
        ("3-1", ProcessError),
    ],
)
async def test_an_unknown_client(sockets: Sockets, client_id: str, error: type[Exception]) -> None:
    """An id that no client has, or that is none, is an error for people."""
    with pytest.raises(error, match=r"client|process"):
        await sockets.disconnect(client_id)


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 201}, {"offset": -1}, {"offset": 1_001}])
def test_pages_are_bounded(bad: dict[str, int]) -> None:
    """A page beyond the bounds is refused, and the error names the field."""
    with pytest.raises(msgspec.ValidationError, match=next(iter(bad))):
        msgspec.convert(bad, SocketQuery)


async def test_many_clients_are_listed_quickly(endpoint: Endpoint, sockets: Sockets) -> None:
    """A page of 2 000 clients does not hold the event loop for long."""
    async with ChannelTest(endpoint) as channels:
        for number in range(1_999):
            await channels.connect(UserSocket, {"owner": f"user-{number}"})
        last = await channels.connect(UserSocket, {"owner": "last"})
        await last.join("room:lobby")
        loop = asyncio.get_running_loop()

        began_s = loop.time()
        page = await sockets.list(SocketQuery(text="user-1", order="waiting"))

        assert (page.found, page.connected, len(page.clients)) == (1_110, 2_000, 50)
        assert loop.time() - began_s < 1.0  # about 10 ms on a quiet machine
