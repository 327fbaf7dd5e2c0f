"""What a socket can still do after its channel has ended."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Socket, error, ok
from phoenix_compat.result import Result
from tests.unit.runtime.harness import Client, Engine, OpenChannel, closed, replied, with_assigns


class KeptChannel(OpenChannel):
    """A channel whose socket outlives it in `sockets`, an assign of its route."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Keep the socket; refuse a join with "no" in its payload."""
        socket.assigns["sockets"].append(socket)
        return error() if "no" in payload else ok()


class Harness:
    """A client that has joined and left, the socket of that channel, and another client."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.sockets: list[Socket] = []
        channels = {"t": with_assigns(KeptChannel, sockets=self.sockets), "other": OpenChannel}
        self.client, self.other = Client(self.engine, channels), Client(self.engine, channels)

    async def ended(self) -> Socket:
        """Join and leave; the socket of the ended channel."""
        await self.client.join("t")
        await self.client.send("1", "2", "t", "phx_leave", {})
        assert self.client.received() == [replied("1", "2", "t"), closed("1", "t")]
        return self.sockets[0]


async def test_nothing_is_sent_to_the_client_any_more() -> None:
    """Pushes, messages to itself and subscriptions do nothing, and leave nothing behind."""
    harness = Harness()
    socket = await harness.ended()

    socket.push("push", {})
    socket.send_self("hello")
    socket.subscribe("news")
    socket.unsubscribe("news")
    harness.engine.broadcast("news", "event", {})

    assert harness.client.received() == []
    assert not harness.engine.pubsub.topics


@pytest.mark.parametrize("method", ["broadcast", "broadcast_from"])
async def test_broadcasts_reach_the_others(method: str) -> None:
    """A task that outlives its channel can still tell the others something."""
    harness = Harness()
    socket = await harness.ended()
    await harness.other.join("t", "5")

    getattr(socket, method)("event", {"a": 1})

    assert harness.other.received() == [[None, None, "t", "event", {"a": 1}]]
    assert harness.client.received() == []


async def test_a_message_can_still_be_answered() -> None:
    """A callback that is cancelled by the end of its channel may answer its message."""
    harness = Harness()
    socket = await harness.ended()
    socket.ref = "7"

    socket.reply_ref().reply(ok({"late": True}))

    assert harness.client.received() == [replied("1", "7", "t", {"late": True})]


async def test_a_monitor_is_called_at_once() -> None:
    """As for any channel that has left its topics."""
    calls: list[str] = []
    socket = await Harness().ended()

    socket.monitor(lambda: calls.append("ended"))

    assert calls == ["ended"]


async def test_the_connection_can_still_be_closed() -> None:
    """`close_at` is about the client's connection, which goes on without the channel."""
    harness = Harness()
    socket = await harness.ended()

    socket.close_at(0.0)
    await harness.client.send(None, "9", "phoenix", "heartbeat", {})

    assert [code for code, _reason in harness.client.closes] == [1001]


async def test_the_socket_of_a_refused_join() -> None:
    """A refused join has no channel to speak of, as before."""
    harness = Harness()
    await harness.client.send("1", "1", "t", "phx_join", {"no": True})
    (socket,) = harness.sockets

    socket.send_self("hello")

    assert not socket.joined
    assert harness.client.received() == [replied("1", "1", "t", status="error")]
