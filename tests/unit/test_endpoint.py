"""The endpoint: mounting, connecting, broadcasts, closing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from phoenix_compat import (
    Broadcast,
    Channel,
    ConfigError,
    ConnectInfo,
    Drainer,
    Endpoint,
    Limits,
    LongPollOptions,
    Result,
    Socket,
    SocketHandler,
    WebSocketOptions,
    error,
    ok,
)
from phoenix_compat.endpoint import drain_in_batches
from phoenix_compat.protocol.serializer import V1, V2
from phoenix_compat.result import DONE
from phoenix_compat.runtime.sending.wire import ByteWire, WebSocketWire


class RoomChannel(Channel):
    """A channel to mount."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok()


class UserSocket(SocketHandler):
    """A socket to mount."""

    channels = {"room:*": RoomChannel, "vip:*": (RoomChannel, {"vip": True})}  # noqa: RUF012

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        return ok()


def test_a_mounted_socket() -> None:
    """A socket is served over websocket by default, with a table of its channels."""
    endpoint = Endpoint()

    endpoint.socket("/socket", UserSocket)

    (socket,) = endpoint.sockets
    assert (socket.path, socket.handler) == ("/socket", UserSocket)
    assert [options.transport for options in socket.transports] == ["websocket"]
    assert socket.routes.match("room:1") == (RoomChannel, None)
    assert socket.routes.match("vip:1") == (RoomChannel, {"vip": True})
    assert socket.drainer == Drainer()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, ["websocket"]),
        ({"longpoll": True}, ["websocket", "longpoll"]),
        ({"websocket": False, "longpoll": True}, ["longpoll"]),
        ({"websocket": False}, []),
        (
            {"websocket": WebSocketOptions(), "longpoll": LongPollOptions()},
            ["websocket", "longpoll"],
        ),
    ],
)
def test_the_choice_of_transports(choice: dict[str, Any], expected: list[str]) -> None:
    """Long-polling is off by default; each transport can be turned off."""
    endpoint = Endpoint()

    endpoint.socket("/socket", UserSocket, **choice)

    assert [options.transport for options in endpoint.sockets[0].transports] == expected


def test_the_defaults_of_phoenix() -> None:
    """Options are those of Phoenix unless said otherwise."""
    websocket, longpoll = WebSocketOptions(), LongPollOptions()

    assert (websocket.path, websocket.timeout_s, websocket.max_frame_bytes) == (
        "/websocket",
        60.0,
        10_000_000,
    )
    assert (longpoll.path, longpoll.window_s, longpoll.max_batch_messages) == (
        "/longpoll",
        10.0,
        100,
    )
    assert Limits().max_channels_per_transport == 100


@pytest.mark.parametrize("options", [WebSocketOptions, LongPollOptions, Drainer])
def test_an_unknown_option(options: Any) -> None:
    """197, 198: an unknown option is an error at once."""
    with pytest.raises(TypeError, match="drainr"):
        options(drainr=1)


def test_origins_of_the_endpoint_and_of_a_socket() -> None:
    """86: a socket without its own origins uses the endpoint's."""
    endpoint = Endpoint(check_origin=["//a.com"])

    endpoint.socket("/one", UserSocket)
    endpoint.socket("/two", UserSocket, websocket=WebSocketOptions(check_origin=False))
    endpoint.socket("/three", UserSocket, websocket=WebSocketOptions(check_origin=["//b.com"]))

    checks = [socket.transports[0].check_origin for socket in endpoint.sockets]
    assert checks == [("//a.com",), False, ("//b.com",)]


def test_origins_are_looked_at_when_mounting() -> None:
    """An origin without a host is an error, for the endpoint and for a socket."""
    with pytest.raises(ConfigError, match="no host"):
        Endpoint(check_origin=["a.com"])
    with pytest.raises(ConfigError, match="no host"):
        Endpoint().socket("/s", UserSocket, websocket=WebSocketOptions(check_origin=["a.com"]))


class Deciding(SocketHandler):
    """Connects as the params define."""

    def connect(self, params: Any, socket: Socket, connect_info: ConnectInfo) -> Any:
        socket.assign(params)
        return params["result"]

    def id(self, socket: Socket) -> Any:
        return socket.assigns.get("id")


class AsyncDeciding(Deciding):
    """The same, after a wait."""

    async def connect(self, params: Any, socket: Socket, connect_info: ConnectInfo) -> Any:
        await asyncio.sleep(0)
        return super().connect(params, socket, connect_info)


HANDLERS = pytest.mark.parametrize("handler", [Deciding, AsyncDeciding])


async def connect(handler: type[SocketHandler], **params: Any) -> Socket | Result:
    """Call a handler as a transport does."""
    endpoint = Endpoint()
    endpoint.socket("/socket", handler)
    return await endpoint.sockets[0].connect(
        endpoint, params, ConnectInfo(), serializer="V2JSONSerializer", transport="websocket"
    )


@HANDLERS
@pytest.mark.parametrize("name", [None, "user:1", ""])
async def test_a_client_that_is_accepted(
    handler: type[SocketHandler], name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket has the assigns of `connect`, and its id."""
    caplog.set_level(logging.INFO)

    socket = await connect(handler, result=ok(), id=name)

    assert isinstance(socket, Socket)
    assert (socket.id, socket.assigns["id"], socket.transport) == (name, name, "websocket")
    assert f"CONNECTED TO {handler.__name__}" in caplog.text


@HANDLERS
@pytest.mark.parametrize("refusal", [error(), error(reason="no"), error("no")])
async def test_a_client_that_is_refused(
    handler: type[SocketHandler], refusal: Result, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal is returned with its reason."""
    caplog.set_level(logging.INFO)

    assert await connect(handler, result=refusal) == refusal

    assert f"REFUSED CONNECTION TO {handler.__name__}" in caplog.text


@HANDLERS
@pytest.mark.parametrize("result", [None, True, {"a": 1}, Result("weird", {})])
async def test_a_connect_that_returns_no_result(
    handler: type[SocketHandler], result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Any other value refuses the client, and is logged as an error."""
    assert await connect(handler, result=result) == error()

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "connect returned" in caplog.text


@HANDLERS
@pytest.mark.parametrize("name", [1, b"user", ["user"], True])
async def test_an_id_that_is_not_a_string(
    handler: type[SocketHandler], name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A socket whose id is neither a string nor None is refused, with a warning."""
    assert await connect(handler, result=ok(), id=name) == error()

    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@HANDLERS
async def test_a_connect_that_raises(handler: type[SocketHandler]) -> None:
    """The error of `connect` is raised; the transport responds with 500."""
    with pytest.raises(KeyError):
        await connect(handler)


def test_the_base_handler_refuses_everybody() -> None:
    """The base's `connect` accepts nobody."""
    socket = Socket(Endpoint(), SocketHandler)

    assert SocketHandler().connect({}, socket, ConnectInfo()) == error()


# Broadcasts.


def test_broadcasts_from_anywhere() -> None:
    """Subscribers of a topic get the endpoint's broadcasts: all, or all except one."""
    endpoint = Endpoint()
    heard: list[Broadcast] = []
    others: list[str] = []

    def other(broadcast: Broadcast) -> None:
        others.append(broadcast.event)

    endpoint.subscribe("t", heard.append)
    endpoint.subscribe("t", other)

    done = [
        endpoint.broadcast("t", "a", {}),
        endpoint.local_broadcast("t", "b", {}),
        endpoint.broadcast_from(other, "t", "c", {}),
    ]
    endpoint.unsubscribe("t", other)
    endpoint.broadcast("t", "d", {})

    assert done == [DONE] * 3
    assert [broadcast.event for broadcast in heard] == ["a", "b", "c", "d"]
    assert others == ["a", "b"]


def test_wires_are_shared() -> None:
    """Clients of one transport and one serializer share a wire."""
    endpoint = Endpoint()

    class OtherWire(ByteWire):
        __slots__ = ()

    wires = {
        endpoint.wire(kind, serializer)
        for _ in range(2)
        for kind in (WebSocketWire, OtherWire)
        for serializer in (V1, V2)
    }

    assert len(wires) == 4
    assert endpoint.wire(WebSocketWire, V2).serializer is V2


# Closing.


class FakeTransport:
    """Records the calls of the endpoint; its clients disconnect when closed, or when dropped."""

    def __init__(self, endpoint: Endpoint, *, is_stubborn: bool) -> None:
        self.asked: list[str] = []
        self._endpoint = endpoint
        self._clients = 1
        self._is_stubborn = is_stubborn

    def __len__(self) -> int:
        return self._clients

    @property
    def clients(self) -> tuple[()]:
        return ()

    async def drain(self) -> None:
        self.asked.append("drain")

    def close_all(self) -> None:
        self.asked.append("close")
        if not self._is_stubborn:
            asyncio.get_running_loop().call_soon(self._gone)

    def abort_all(self) -> None:
        self.asked.append(f"abort {self._clients}")

    def abandon(self) -> None:
        self.asked.append("abandon")

    def _gone(self) -> None:
        self._clients = 0
        self._endpoint.client_disconnected()


@pytest.mark.parametrize(
    ("is_stubborn", "left"), [(False, "abort 0"), (True, "abort 1")], ids=["polite", "stubborn"]
)
async def test_closing(is_stubborn: bool, left: str) -> None:
    """Clients are drained, closed, waited for, and dropped if they stay."""
    endpoint = Endpoint(limits=Limits(close_timeout_s=0.001 if is_stubborn else 10.0))
    transport = FakeTransport(endpoint, is_stubborn=is_stubborn)
    endpoint.serve(transport)
    endpoint.client_disconnected()

    await endpoint.close()

    assert transport.asked == ["drain", "close", left]
    assert endpoint.is_closing


async def test_closing_an_endpoint_that_nobody_uses() -> None:
    """Without clients it returns at once."""
    endpoint = Endpoint()

    await endpoint.close()

    assert endpoint.connections == 0


class FakeClient:
    """Records when it is drained."""

    def __init__(self, number: int, away: list[int]) -> None:
        self._number = number
        self._away = away

    def drain(self) -> None:
        """Go."""
        self._away.append(self._number)


@pytest.mark.parametrize(
    ("drainer", "expected"),
    [
        (None, []),
        (Drainer(), [0, 1, 2, 3, 4]),
        (Drainer(batch_size=2, batch_interval_s=0.0), [0, 1, 2, 3, 4]),
        (Drainer(batch_size=2, batch_interval_s=60.0, shutdown_s=0.001), [0, 1]),
    ],
    ids=["none", "at once", "in batches", "out of time"],
)
async def test_draining(drainer: Drainer | None, expected: list[int]) -> None:
    """Clients are drained in batches, until the time limit."""
    away: list[int] = []

    await drain_in_batches([FakeClient(number, away) for number in range(5)], drainer)

    assert away == expected
