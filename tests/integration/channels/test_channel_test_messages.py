"""Phoenix's own tests of channels, with ChannelTest: ends, broadcasts, handle_info and presence.

Numbers are those of docs/protocol.md, §9.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from phoenix_compat import (
    Channel,
    Endpoint,
    Result,
    Socket,
    ok,
)
from phoenix_compat.presence import Presence
from phoenix_compat.testing import (
    ANY,
    ChannelTest,
    including,
)
from tests.integration.channels.foo_channel import FooChannel


@pytest.fixture
async def channels() -> AsyncIterator[ChannelTest]:
    """A ChannelTest, closed after the test."""
    async with ChannelTest() as channels:
        yield channels


# Ends.


async def test_a_crash(channels: ChannelTest) -> None:
    """§9.11.168: terminate gets the exception, and the client gets phx_error, not phx_close."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("crash")

    await client.assert_crashed()
    await client.refute_push("phx_close")
    await client.refute_reply(ref)
    assert isinstance(client.socket.assigns["terminated"], RuntimeError)


async def test_a_stop(channels: ChannelTest) -> None:
    """§9.11.169: terminate gets the reason; later pushes are harmless."""
    client = await channels.join(FooChannel, "foo:ok")

    await client.push("stop", {"reason": "normal"})
    await client.assert_closed()
    ref = await client.push("stop", {"reason": "normal"})

    assert client.socket.assigns["terminated"] == "normal"
    await client.assert_reply(ref, "error", {"reason": "unmatched topic"})


@pytest.mark.parametrize(("payload", "response"), [({}, {}), ({"req": "foo"}, {"resp": "foo"})])
async def test_a_stop_with_a_reply(channels: ChannelTest, payload: Any, response: Any) -> None:
    """§9.11.170: the reply, then the end."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("stop_and_reply", payload)

    await client.assert_reply(ref, "ok", response)
    await client.assert_closed()
    assert client.socket.assigns["terminated"] == "shutdown"


async def test_a_leave(channels: ChannelTest) -> None:
    """§9.11.187: the reply is ok, then phx_close follows; a second leave is harmless."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.leave()

    await client.assert_reply(ref, "ok", {})
    await client.assert_closed()
    assert client.socket.assigns["terminated"] == ("shutdown", "left")
    await client.assert_reply(await client.leave(), "ok", {})


async def test_a_close(channels: ChannelTest) -> None:
    """§9.11.188: all channels of the connection end; a second close is harmless."""
    socket = channels.socket(FooChannel)
    clients = [await channels.join(socket, topic) for topic in ("foo:a", "foo:b")]

    await clients[0].close()
    await clients[1].close()

    assert socket.close_code == 1000
    assert [client.socket.assigns["terminated"] for client in clients] == [
        ("shutdown", "closed"),
        ("shutdown", "closed"),
    ]


async def test_a_terminate_that_does_not_end() -> None:
    """§9.11.189: a terminate that does not end is cancelled at the end of the test."""
    ended = asyncio.Event()

    class StuckChannel(FooChannel):
        async def terminate(self, reason: Any, socket: Socket) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    async with ChannelTest(assert_timeout_s=0.01) as channels:
        client = await channels.join(StuckChannel, "foo:ok")
        await client.close()
        assert not ended.is_set()

    assert ended.is_set()


# Broadcasts.


async def test_broadcasts(channels: ChannelTest) -> None:
    """§9.9.129-130, §9.11.171-172, 179: broadcast reaches all, broadcast_from all but itself."""
    here = await channels.subscribe_and_join(FooChannel, "foo:ok")
    there = await channels.join(FooChannel, "foo:ok")

    await here.push("broadcast", {"to": "all"})
    await here.push("broadcast_from", {"to": "others"})

    await here.assert_push("broadcast", {"to": "all"})
    await here.refute_push()
    await there.assert_push("broadcast", {"to": "all"})
    await there.assert_push("broadcast", {"to": "others"})
    await channels.assert_broadcast("foo:ok", "broadcast", lambda payload: payload["to"] == "all")
    await channels.assert_broadcast("foo:ok", "broadcast", including(to="others"))


async def test_broadcasts_of_the_test(channels: ChannelTest) -> None:
    """§9.11.179-180: the test broadcasts to the channel and does not get its own broadcasts."""
    client = await channels.subscribe_and_join(FooChannel, "foo:ok")

    async def broadcast() -> None:
        await channels.broadcast_from("foo:ok", "default", {"foo": "bar"})

    await broadcast()
    await asyncio.create_task(broadcast())

    await client.assert_push("default", {"foo": "bar"})
    await client.assert_push("default", {"foo": "bar"})
    await channels.refute_broadcast("foo:ok")


async def test_the_endpoint_of_an_application() -> None:
    """A ChannelTest with an endpoint gets the broadcasts of its application."""
    endpoint = Endpoint()
    async with ChannelTest(endpoint) as channels:
        client = await channels.subscribe_and_join(FooChannel, "foo:ok")

        endpoint.broadcast("foo:ok", "news", {"a": 1})

        await client.assert_push("news", {"a": 1})
        await channels.assert_broadcast("foo:ok", "news", {"a": ANY})


async def test_an_intercepted_broadcast_may_stop(channels: ChannelTest) -> None:
    """§9.11.181: handle_out ends the channel gracefully."""
    client = await channels.subscribe_and_join(FooChannel, "foo:ok")

    channels.broadcast_from("foo:ok", "stop", {"foo": "bar"})

    await client.assert_closed()
    await client.refute_push("stop")
    assert client.socket.assigns["terminated"] == "shutdown"


# handle_info.


async def test_handle_info(channels: ChannelTest) -> None:
    """§9.11.182-184: messages to itself push, broadcast and stop."""
    client = await channels.subscribe_and_join(FooChannel, "foo:ok")

    for message in ("push", "broadcast", "stop"):
        client.socket.send_self(message)

    await client.assert_push("info", {"reason": "push"})
    await channels.assert_broadcast("foo:ok", "info", {"reason": "broadcast"})
    await client.assert_closed()
    await client.refute_push()


async def test_another_topic(channels: ChannelTest) -> None:
    """§9.11.192: its broadcasts go to handle_info, and are pushed under the channel's topic."""
    client = await channels.join(FooChannel, "foo:ok")
    await client.push("subscribe", {"topic": "elsewhere"})

    channels.endpoint.broadcast("elsewhere", "news", {"a": 1})

    await client.assert_push("news", {"a": 1})


async def test_an_unknown_message(channels: ChannelTest) -> None:
    """§9.11.193: a channel without handle_info continues."""

    class DeafChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            return ok()

    client = await channels.subscribe_and_join(DeafChannel, "foo:ok")
    client.socket.send_self("unhandled")
    channels.endpoint.broadcast("foo:ok", "still", {})

    await client.assert_push("still", {})


# Presence.


async def test_presence(channels: ChannelTest) -> None:
    """§6: who joins is tracked, who leaves is not, and the test gets both diffs."""
    presence = Presence(channels.endpoint)

    class PresentChannel(FooChannel):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            presence.track(socket, socket.assigns["user"], {})
            socket.push("presence_state", presence.list(socket))

    async def join(user: str) -> Any:
        client = await channels.join(
            channels.socket(PresentChannel, None, {"user": user}), "foo:ok"
        )
        client.socket.send_self("after_join")
        return client

    ann = await join("ann")
    bob = await join("bob")
    await bob.close()

    await bob.assert_push("presence_state", including(ann=ANY, bob=ANY))
    await ann.assert_push("presence_diff", including(joins={"bob": ANY}))
    await ann.assert_push("presence_diff", including(leaves={"bob": ANY}))
