"""Phoenix's own tests of channels, with ChannelTest. Numbers are those of docs/protocol.md, §9.

Not here, because Python has nothing like it: 158 (a socket of another test process), 185 and 186
(`handle_call`, `handle_cast`), 190 and 191 (`code_change`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from phoenix_compat import (
    Channel,
    Endpoint,
    HandleResult,
    NotJoinedError,
    Result,
    Socket,
    ok,
    on,
    reply,
)
from phoenix_compat.errors import LocalProtocolError
from phoenix_compat.presence import Presence
from phoenix_compat.testing import (
    ANY,
    ChannelTest,
    ConnectRefusedError,
    JoinRefusedError,
    including,
)
from tests.integration.channels.foo_channel import FooChannel, Token, UserSocket


@pytest.fixture
async def channels() -> AsyncIterator[ChannelTest]:
    """Clients, hung up when the test ends."""
    async with ChannelTest() as channels:
        yield channels


# Sockets and connects.


async def test_a_socket_without_connect(channels: ChannelTest) -> None:
    """§9.11.156-157: a socket of a handler, with an id and assigns, or without."""
    bare = channels.socket(UserSocket)
    named = channels.socket(UserSocket, "user:7", {"user": 7})

    assert (bare.handler, bare.id, bare.assigns) == (UserSocket, None, {})
    assert (named.id, named.assigns, named.endpoint) == ("user:7", {"user": 7}, channels.endpoint)


async def test_connect(channels: ChannelTest) -> None:
    """§9.11.173, 178: connect assigns, names the socket, and sees params and connect_info."""
    socket = await channels.connect(UserSocket, {"user": "7"}, {"peer_data": "loopback"})

    assert socket.id == "user:7"
    assert socket.assigns == {"params": {"user": "7"}, "peer": "loopback", "key": "connect"}
    assert socket.transport == "channel_test"
    assert socket.close_code is None


@pytest.mark.parametrize(("given", "reason"), [("", {}), ("banned", "banned")])
async def test_connect_refused(channels: ChannelTest, given: str, reason: Any) -> None:
    """§9.11.173: error() and error(reason) refuse."""
    with pytest.raises(ConnectRefusedError) as refused:
        await channels.connect(UserSocket, {"reason": given})

    assert refused.value.reason == reason


async def test_a_socket_is_disconnected_by_its_id(channels: ChannelTest) -> None:
    """§9.11.194: "disconnect" on the id is heard by subscribers, and closes with 1001."""
    client = await channels.join(await channels.connect(UserSocket), "foo:ok")
    other = await channels.join(await channels.connect(UserSocket, {"user": "1"}), "foo:ok")
    channels.subscribe("user:0")

    channels.endpoint.broadcast("user:0", "disconnect", {})

    await channels.assert_broadcast("user:0", "disconnect", {})
    assert client.connection.close_code == 1001
    assert client.socket.assigns["terminated"] == ("shutdown", "disconnected")
    assert other.connection.close_code is None


# Joins.


async def test_join(channels: ChannelTest) -> None:
    """§9.11.159: the channel's socket has the topic and the assigns; joined comes after."""
    socket = channels.socket(UserSocket, "user:7", {"hello": "world"})
    client = await channels.join(socket, "foo:socket", {"say": "hi"})

    assert client.response == {"joined": False}
    assert client.socket.joined
    assert (client.socket.topic, client.socket.id) == ("foo:socket", "user:7")
    assert client.socket.assigns == {"hello": "world", "payload": {"say": "hi"}}
    assert client.socket.transport == "channel_test"
    assert socket.assigns == {"hello": "world"}


async def test_join_through_the_routes(channels: ChannelTest) -> None:
    """§9.11.173, 195: the topic chooses the channel; its route's assigns win over connect's."""
    socket = await channels.connect(UserSocket)
    client = await channels.join(socket, "static:1")

    assert (client.socket.assigns["key"], client.socket.assigns["own"]) == ("route", 1)
    with pytest.raises(JoinRefusedError, match=r"'nope' was refused: .*unmatched"):
        await channels.join(socket, "nope")


async def test_join_from_another_task(channels: ChannelTest) -> None:
    """§9.11.160, 174: a client of one task is used in another."""
    connecting = asyncio.create_task(channels.connect(UserSocket))
    client = await asyncio.create_task(channels.join(await connecting, "foo:ok"))

    ref = await asyncio.create_task(client.push("reply", {"req": 1}))

    await client.assert_reply(ref, "ok", {"resp": 1})


@pytest.mark.parametrize(
    ("topic", "response"),
    [
        ("foo:error", {"reason": "mybad"}),
        ("foo:crash", {"reason": "join crashed"}),
        ("foo:speak", {"reason": "join crashed"}),
    ],
)
async def test_join_refused(channels: ChannelTest, topic: str, response: Any) -> None:
    """§9.11.161-162: an error is returned; a value that is no result crashes, as speaking does."""
    with pytest.raises(JoinRefusedError) as refused:
        await channels.join(FooChannel, topic, {"error": "mybad"})

    assert refused.value.response == response


async def test_join_payloads_are_json(channels: ChannelTest) -> None:
    """§9.11.175, 196: keys that are no strings come as strings, in joins and in pushes."""
    client = await channels.join(FooChannel, "foo:ok", {1: "one"})

    ref = await client.push("reply", {"req": {2: "two"}})

    assert client.socket.assigns["payload"] == {"1": "one"}
    await client.assert_reply(ref, "ok", {"resp": {"2": "two"}})


async def test_a_second_join_ends_the_first(channels: ChannelTest) -> None:
    """§3.4: on one connection the old channel is killed, and its client hears phx_close."""
    socket = channels.socket(FooChannel)
    old = await channels.join(socket, "foo:ok")
    new = await channels.join(socket, "foo:ok")

    await old.assert_closed()
    assert "terminated" not in old.socket.assigns
    ref = await new.push("reply")
    await new.assert_reply(ref, "ok")
    await old.refute_push()


# handle_in.


async def test_push_and_noreply(channels: ChannelTest) -> None:
    """§9.9.131, §9.11.163-164: a handler pushes and does not answer."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("noreply", {"req": 7})

    await client.assert_push("noreply", lambda payload: payload["resp"] > 5)
    await client.refute_reply(ref)


async def test_replies(channels: ChannelTest) -> None:
    """§9.9.133, §9.11.165-166, 176: a bare status answers {}, a payload is answered as it is."""
    client = await channels.join(FooChannel, "foo:ok")

    await client.assert_reply(await client.push("reply"), "ok", {})
    ref = await client.push("reply", {"req": [{"a": 1}, {"b": 2}]})
    answer = await client.assert_reply(ref, "ok", lambda payload: len(payload["resp"]) == 2)

    assert answer == {"resp": [{"a": 1}, {"b": 2}]}


async def test_late_replies(channels: ChannelTest) -> None:
    """§9.9.132, §9.11.167: reply_ref answers that message, from anywhere."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("async_reply", {"req": "foo"})

    await client.assert_reply(ref, "ok", {"async_resp": "foo"})


async def test_any_status(channels: ChannelTest) -> None:
    """§3.3: a status of one's own is asserted like the others."""

    class OddChannel(FooChannel):
        @on("odd")
        def odd(self, payload: Any, socket: Socket) -> HandleResult:
            return reply("odd", payload)

    client = await channels.join(OddChannel, "foo:ok")

    await client.assert_reply(await client.push("odd", {"a": 1}), "odd", {"a": 1})


async def test_reply_ref_needs_a_message(channels: ChannelTest) -> None:
    """§9.9.134: it raises before the join is answered, and outside of handle_in."""
    early = channels.socket(FooChannel)
    client = await channels.join(FooChannel, "foo:ok")

    with pytest.raises(NotJoinedError):
        early.reply_ref()
    with pytest.raises(LocalProtocolError, match="call it inside handle_in"):
        client.socket.reply_ref()
    client.socket.send_self("ref")
    await client.assert_crashed()


async def test_values_of_the_program(channels: ChannelTest) -> None:
    """§9.11.177: what a channel pushes is seen as it was given, if it can be encoded."""
    client = await channels.join(FooChannel, "foo:ok")

    client.socket.send_self(Token("secret"))

    await client.assert_push("token", {"token": Token("secret")})


# Ends.


async def test_a_crash(channels: ChannelTest) -> None:
    """§9.11.168: terminate gets the exception, and the client hears phx_error, not phx_close."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("crash")

    await client.assert_crashed()
    await client.refute_push("phx_close")
    await client.refute_reply(ref)
    assert isinstance(client.socket.assigns["terminated"], RuntimeError)


async def test_a_stop(channels: ChannelTest) -> None:
    """§9.11.169: terminate gets the reason; pushing afterwards is harmless."""
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
    """§9.11.187: answered ok, then phx_close; a second leave is harmless."""
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


async def test_a_terminate_without_end() -> None:
    """§9.11.189: what does not end is ended, when the test does."""
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
    """§9.11.179-180: the test broadcasts to the channel and does not hear itself."""
    client = await channels.subscribe_and_join(FooChannel, "foo:ok")

    async def broadcast() -> None:
        await channels.broadcast_from("foo:ok", "default", {"foo": "bar"})

    await broadcast()
    await asyncio.create_task(broadcast())

    await client.assert_push("default", {"foo": "bar"})
    await client.assert_push("default", {"foo": "bar"})
    await channels.refute_broadcast("foo:ok")


async def test_the_endpoint_of_an_application() -> None:
    """A ChannelTest made with an endpoint hears what the application broadcasts to it."""
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
    """§9.11.182-184: a message of one's own pushes, broadcasts, stops."""
    client = await channels.subscribe_and_join(FooChannel, "foo:ok")

    for message in ("push", "broadcast", "stop"):
        client.socket.send_self(message)

    await client.assert_push("info", {"reason": "push"})
    await channels.assert_broadcast("foo:ok", "info", {"reason": "broadcast"})
    await client.assert_closed()
    await client.refute_push()


async def test_another_topic(channels: ChannelTest) -> None:
    """§9.11.192: what is broadcast there arrives in handle_info, and is pushed under its own."""
    client = await channels.join(FooChannel, "foo:ok")
    await client.push("subscribe", {"topic": "elsewhere"})

    channels.endpoint.broadcast("elsewhere", "news", {"a": 1})

    await client.assert_push("news", {"a": 1})


async def test_an_unknown_message(channels: ChannelTest) -> None:
    """§9.11.193: a channel without handle_info goes on."""

    class DeafChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            return ok()

    client = await channels.subscribe_and_join(DeafChannel, "foo:ok")
    client.socket.send_self("unhandled")
    channels.endpoint.broadcast("foo:ok", "still", {})

    await client.assert_push("still", {})


# Presence.


async def test_presence(channels: ChannelTest) -> None:
    """§6: who joins is tracked, who leaves is told, and the test sees both."""
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
