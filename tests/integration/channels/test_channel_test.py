"""Phoenix's own tests of channels, with ChannelTest: connects, joins and handle_in.

Numbers are those of docs/protocol.md, §9. Python has nothing like 158 (a socket of another test
process), 185 and 186 (`handle_call`, `handle_cast`), 190 and 191 (`code_change`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from phoenix_compat import (
    HandleResult,
    NotJoinedError,
    Socket,
    on,
    reply,
)
from phoenix_compat.errors import LocalProtocolError
from phoenix_compat.testing import (
    ChannelTest,
    ConnectRefusedError,
    JoinRefusedError,
)
from tests.integration.channels.foo_channel import FooChannel, Token, UserSocket


@pytest.fixture
async def channels() -> AsyncIterator[ChannelTest]:
    """A ChannelTest, closed after the test."""
    async with ChannelTest() as channels:
        yield channels


# Sockets and connects.


async def test_a_socket_without_connect(channels: ChannelTest) -> None:
    """§9.11.156-157: a socket of a handler, with or without an id and assigns."""
    bare = channels.socket(UserSocket)
    named = channels.socket(UserSocket, "user:7", {"user": 7})

    assert (bare.handler, bare.id, bare.assigns) == (UserSocket, None, {})
    assert (named.id, named.assigns, named.endpoint) == ("user:7", {"user": 7}, channels.endpoint)


async def test_connect(channels: ChannelTest) -> None:
    """§9.11.173, 178: connect sets assigns and the id, and gets params and connect_info."""
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
    """§9.11.194: "disconnect" on the id reaches subscribers, and closes with 1001."""
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
    """§9.11.159: the channel's socket has topic and assigns; `joined` is set after the join."""
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
    """§9.11.160, 174: a client may be used in another task than it was created in."""
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
    """§9.11.161-162: an error is a refusal; an invalid result, or sending in `join`, crashes."""
    with pytest.raises(JoinRefusedError) as refused:
        await channels.join(FooChannel, topic, {"error": "mybad"})

    assert refused.value.response == response


async def test_join_payloads_are_json(channels: ChannelTest) -> None:
    """§9.11.175, 196: keys that are not strings become strings, in joins and in pushes."""
    client = await channels.join(FooChannel, "foo:ok", {1: "one"})

    ref = await client.push("reply", {"req": {2: "two"}})

    assert client.socket.assigns["payload"] == {"1": "one"}
    await client.assert_reply(ref, "ok", {"resp": {"2": "two"}})


async def test_a_second_join_ends_the_first(channels: ChannelTest) -> None:
    """§3.4: the old channel of the connection is killed, and its client gets phx_close."""
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
    """§9.9.131, §9.11.163-164: a handler pushes and does not reply."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("noreply", {"req": 7})

    await client.assert_push("noreply", lambda payload: payload["resp"] > 5)
    await client.refute_reply(ref)


async def test_replies(channels: ChannelTest) -> None:
    """§9.9.133, §9.11.165-166, 176: a bare status is sent with {}, a payload is sent as it is."""
    client = await channels.join(FooChannel, "foo:ok")

    await client.assert_reply(await client.push("reply"), "ok", {})
    ref = await client.push("reply", {"req": [{"a": 1}, {"b": 2}]})
    answer = await client.assert_reply(ref, "ok", lambda payload: len(payload["resp"]) == 2)

    assert answer == {"resp": [{"a": 1}, {"b": 2}]}


async def test_late_replies(channels: ChannelTest) -> None:
    """§9.9.132, §9.11.167: reply_ref replies to that message, from anywhere."""
    client = await channels.join(FooChannel, "foo:ok")

    ref = await client.push("async_reply", {"req": "foo"})

    await client.assert_reply(ref, "ok", {"async_resp": "foo"})


async def test_any_status(channels: ChannelTest) -> None:
    """§3.3: custom statuses are asserted like the others."""

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
    """§9.11.177: tests see the value that a channel pushed, if it can be encoded."""
    client = await channels.join(FooChannel, "foo:ok")

    client.socket.send_self(Token("secret"))

    await client.assert_push("token", {"token": Token("secret")})
