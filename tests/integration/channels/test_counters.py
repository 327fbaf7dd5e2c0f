"""What an endpoint counts: sockets, joins, channels and messages, for each of its wires."""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat import Channel, Endpoint, Socket, SocketHandler, WebSocketOptions, error, ok, on
from phoenix_compat.result import Result
from tests.conftest import Open, Serve
from tests.patience import patient
from tests.polling import LP_V2, Poller, longpoll_app
from tests.serving import accepting, socket_app
from tests.wire import V1, V2


class CountedChannel(Channel):
    """Accepts, refuses or crashes by its topic."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """See Channel."""
        if topic.endswith("refused"):
            return error({"reason": "no"})
        if topic.endswith("crash"):
            raise RuntimeError
        return ok()

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> Result:
        """A reply."""
        return ok(payload)

    @on("push")
    def push(self, payload: Any, socket: Socket) -> None:
        """A push."""
        socket.push("pushed", payload)

    @on("shout")
    def shout(self, payload: Any, socket: Socket) -> None:
        """A broadcast to all others."""
        socket.broadcast_from("shouted", payload)


def counted_socket() -> type[SocketHandler]:
    """A socket with these channels."""
    return accepting({"room:*": CountedChannel})


def totals(endpoint: Endpoint) -> dict[str, int]:
    """The messages of all wires together."""
    return {
        name: sum(getattr(wire, name) for wire in endpoint.wires)
        for name in ("sockets", "frames_received", "frames_sent")
    }


async def until_gone(endpoint: Endpoint) -> None:
    """Wait until no client is connected."""
    async with asyncio.timeout(patient(10.0)):
        while endpoint.connections:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)


async def test_joins_and_channels_are_counted(serve: Serve, open_wire: Open) -> None:
    """By their reply; a channel ends by a leave, a duplicate join or a disconnect, once."""
    endpoint = Endpoint()
    wire = await open_wire(await serve(socket_app(counted_socket(), endpoint=endpoint)))
    counters = endpoint.counters

    await wire.join("room:a")
    await wire.join("room:b", "2")
    for topic in ("room:refused", "room:crash", "other"):
        await wire.ask(["3", "3", topic, "phx_join", {}])
    assert (counters.joins_accepted, counters.joins_refused, counters.joins_crashed) == (2, 2, 1)
    assert counters.joins_accepted - counters.channels_ended == 2

    await wire.send(["1", "4", "room:a", "phx_leave", {}])
    await wire.recv_many(2)
    assert counters.channels_ended == 1

    await wire.send(["5", "5", "room:b", "phx_join", {}])
    await wire.recv_many(2)
    assert (counters.joins_accepted, counters.channels_ended) == (3, 2)

    await wire.close()
    await until_gone(endpoint)
    assert (counters.joins_accepted, counters.channels_ended) == (3, 3)


async def test_messages_are_counted_in_both_directions(serve: Serve, open_wire: Open) -> None:
    """Replies and pushes once, a broadcast once for each client that gets it; V1 and V2 apart."""
    endpoint = Endpoint()
    base_url = await serve(socket_app(counted_socket(), endpoint=endpoint))
    first, second = await open_wire(base_url, V2), await open_wire(base_url, V2)
    third = await open_wire(base_url, V1)
    for wire in (first, second):
        await wire.join("room:a")
    await third.ask({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})
    assert totals(endpoint) == {"sockets": 3, "frames_received": 3, "frames_sent": 3}

    await first.ask(["1", "2", "room:a", "echo", {"a": 1}])
    await first.ask(["1", None, "room:a", "push", {}])
    await first.send(["1", None, "room:a", "shout", {}])
    await asyncio.gather(second.recv(), third.recv())
    endpoint.broadcast("room:a", "to_all", {})
    await asyncio.gather(first.recv(), second.recv(), third.recv())

    assert totals(endpoint) == {"sockets": 3, "frames_received": 6, "frames_sent": 10}
    by_version = {wire.serializer.name: wire for wire in endpoint.wires}
    v1, v2 = by_version["V1JSONSerializer"], by_version["V2JSONSerializer"]
    assert (v1.transport, v1.sockets, v1.frames_sent) == ("websocket", 1, 3)
    assert (v2.transport, v2.sockets, v2.frames_sent) == ("websocket", 2, 7)
    assert v2.bytes_received > 5 * v2.frames_received
    assert v2.bytes_sent > 5 * v2.frames_sent


async def test_long_polling_is_counted_too(serve: Serve) -> None:
    """A session is a socket of its own transport, and waiting messages are unsent bytes."""
    endpoint = Endpoint()
    base_url = await serve(longpoll_app(counted_socket(), endpoint=endpoint))
    poller = await Poller.open(base_url, LP_V2)
    await poller.publish(["1", "1", "room:a", "phx_join", {}])

    [wire] = endpoint.wires
    waiting = sum(client.outbox.unsent_bytes for client in endpoint.clients)

    assert (wire.transport, wire.sockets) == ("longpoll", 1)
    assert (wire.frames_received, wire.frames_sent) == (1, 1)
    assert waiting == wire.bytes_sent > 0


async def test_idle_and_drained_clients_are_counted(serve: Serve, open_wire: Open) -> None:
    """One that sends nothing, and one that is there when the server stops."""
    endpoint = Endpoint()
    options = WebSocketOptions(timeout_s=0.2)
    wire = await open_wire(await serve(socket_app(counted_socket(), options, endpoint=endpoint)))
    await wire.join("room:a")
    assert await wire.recv_close() == 1002
    await until_gone(endpoint)
    assert endpoint.counters.idle_closed == 1

    other = Endpoint()
    wire = await open_wire(await serve(socket_app(counted_socket(), endpoint=other)))
    await wire.join("room:a")
    closing = asyncio.create_task(other.close())
    assert await wire.recv_close() == 1012
    await closing

    assert (other.counters.drained, other.counters.idle_closed) == (1, 0)
