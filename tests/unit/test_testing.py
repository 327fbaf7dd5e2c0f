"""ChannelTest itself: matching, waiting, and error messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, HandleResult, Result, Socket, ok, on
from phoenix_compat.testing import ANY, ChannelTest, ConnectedSocket, including


@dataclass
class Point:
    """A value that JSON does not have, but msgspec can encode."""

    x: int
    y: int


class SpeakingChannel(Channel):
    """Does what the client asks for."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Awaitable[Result] | Result:
        return ok(payload)

    @on("push")
    def push(self, payload: Any, socket: Socket) -> None:
        socket.push("said", payload)

    @on("push_point")
    def push_point(self, payload: Any, socket: Socket) -> None:
        point = {"at": Point(1, 2)}
        socket.push("point", point)
        point["at"].x = 7

    @on("push_object")
    def push_object(self, payload: Any, socket: Socket) -> None:
        socket.push("said", {"what": object()})

    @on("broadcast")
    def broadcast(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast("told", payload)
        return ok(payload)

    @on("later")
    async def later(self, payload: Any, socket: Socket) -> HandleResult:
        await asyncio.sleep(0.01)
        socket.push("said", {"when": "later"})
        return ok()


@pytest.fixture
async def channels() -> AsyncIterator[ChannelTest]:
    """A ChannelTest, closed after the test."""
    async with ChannelTest() as channels:
        yield channels


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [
        (ANY, True),
        ({"user": {"name": "ann", "age": 7}, "tags": ["a"]}, True),
        ({"user": ANY, "tags": ["a"]}, True),
        ({"user": {"name": "ann", "age": 7}}, False),
        (including(tags=["a"]), True),
        (including({"tags": ["a"]}), True),
        (including(), True),
        (including(tags=["b"]), False),
        (including(user={"name": "ann"}), True),
        (including(user={"name": "bob"}), False),
        (including(user=including(age=lambda age: age > 5)), True),
        (including(user={"age": lambda age: age > 7}), False),
        (including(missing=ANY), False),
        (lambda payload: len(payload) == 2, True),
        (lambda payload: payload == {}, False),
    ],
)
async def test_how_payloads_are_matched(channels: ChannelTest, wanted: Any, is_found: bool) -> None:
    """A payload is compared with a value or passed to a predicate; by default any matches."""
    client = await channels.join(SpeakingChannel, "room:a")
    sent = {"user": {"name": "ann", "age": 7}, "tags": ["a"]}
    await client.push("push", sent)

    if is_found:
        assert await client.assert_push("said", wanted) == sent
    else:
        await client.refute_push("said", wanted)


async def test_including_wants_a_dict(channels: ChannelTest) -> None:
    """`including` does not match a response that is a list or a string."""
    client = await channels.join(SpeakingChannel, "room:a", ["a"])

    assert client.response == ["a"]
    assert not including(a=1)(client.response)
    assert repr(including(a=1)) == "including({'a': 1})"


async def test_one_arrival_satisfies_one_assertion(channels: ChannelTest) -> None:
    """Equal events are asserted one by one, and in any order with others."""
    client = await channels.join(SpeakingChannel, "room:a")
    for number in (1, 2, 1):
        await client.push("push", {"number": number})

    await client.assert_push("said", {"number": 2})
    await client.assert_push("said", {"number": 1})
    await client.assert_push("said", {"number": 1})
    await client.refute_push()


async def test_a_failed_assertion_shows_what_came(channels: ChannelTest) -> None:
    """The message names what is missing and lists all messages, with those asserted."""
    client = await channels.subscribe_and_join(SpeakingChannel, "room:a")
    ref = await client.push("broadcast", {"a": 1})
    await client.assert_reply(ref, "ok")

    with pytest.raises(AssertionError) as missed:
        await client.assert_push("told", including(a=2), timeout_s=0.001)
    with pytest.raises(AssertionError) as heard:
        await channels.assert_broadcast("room:a", "asked", timeout_s=0)

    assert str(missed.value) == (
        "no push 'told' with including({'a': 2}) within 0.001 s\n"
        "messages on room:a:\n"
        "  reply '1', 'ok' with {} (asserted)\n"
        "  push 'told' with {'a': 1}\n"
        "  reply '2', 'ok' with {'a': 1} (asserted)"
    )
    assert str(heard.value) == (
        "no broadcast 'asked' with <ANY> within 0 s\n"
        "messages on room:a:\n"
        "  broadcast 'told' with {'a': 1}"
    )


async def test_a_failed_refutation_shows_what_came(channels: ChannelTest) -> None:
    """The message names the unexpected message."""
    client = await channels.subscribe_and_join(SpeakingChannel, "room:a")
    ref = await client.push("broadcast", {"a": 1})

    for refutation, unexpected in [
        (client.refute_push("told"), "push 'told' with {'a': 1}"),
        (client.refute_reply(ref), "reply '2', 'ok' with {'a': 1}"),
        (channels.refute_broadcast("room:a", "told"), "broadcast 'told' with {'a': 1}"),
    ]:
        with pytest.raises(AssertionError, match=f"^unexpected {unexpected}\n"):
            await refutation


async def test_nothing_came(channels: ChannelTest) -> None:
    """Without messages, the error says so."""
    channels.subscribe("room:empty")

    with pytest.raises(AssertionError, match=r"no messages on room:empty$"):
        await channels.assert_broadcast("room:empty", "told", timeout_s=0.001)


@pytest.mark.parametrize("verb", ["assert_broadcast", "refute_broadcast", "broadcast_from"])
async def test_a_topic_must_be_subscribed_to(channels: ChannelTest, verb: str) -> None:
    """Assertions about a topic need a subscription."""
    with pytest.raises(AssertionError, match=r"call subscribe\('room:a'\)"):
        await getattr(channels, verb)("room:a", "told", {})


async def test_assertions_wait(channels: ChannelTest) -> None:
    """A message before the deadline is in time, and ends the wait."""
    client = await channels.join(SpeakingChannel, "room:a")
    ref = await client.push("later")

    await client.refute_reply(ref, timeout_s=0)
    await client.assert_push("said", {"when": "later"}, timeout_s=5.0)
    await client.assert_reply(ref, "ok", {})


async def test_the_timeouts_are_given_once() -> None:
    """ChannelTest sets the timeouts of assertions and refutations."""
    loop = asyncio.get_running_loop()
    async with ChannelTest(assert_timeout_s=0.03, refute_timeout_s=60.0) as channels:
        client = await channels.join(SpeakingChannel, "room:a")
        started_at_s = loop.time()
        with pytest.raises(AssertionError, match=r"within 0\.03 s"):
            await client.assert_closed()
        waited_s = loop.time() - started_at_s
        await client.push("push", {})
        with pytest.raises(AssertionError, match="unexpected push 'said'"):
            await client.refute_push()

    assert waited_s >= 0.03


async def test_values_are_seen_as_they_were_sent(channels: ChannelTest) -> None:
    """Pushed objects stay objects, and later changes have no effect."""
    client = await channels.join(SpeakingChannel, "room:a")

    await client.push("push_point")

    await client.assert_push("point", {"at": Point(1, 2)})


async def test_what_a_client_sends_goes_through_json(channels: ChannelTest) -> None:
    """Tuples become lists, keys become strings, bytes stay bytes."""
    client = await channels.join(SpeakingChannel, "room:a")

    await client.push("push", {1: (True, None)})
    await client.push("push", b"\x00\xff")

    await client.assert_push("said", {"1": [True, None]})
    await client.assert_push("said", b"\x00\xff")


async def test_what_cannot_be_sent_crashes_the_channel(channels: ChannelTest) -> None:
    """As in production, the payload of a push is encoded, even though the bytes are not used."""
    client = await channels.join(SpeakingChannel, "room:a")

    await client.push("push_object")

    await client.assert_crashed()


async def test_a_join_that_cannot_be_answered(channels: ChannelTest) -> None:
    """As in production the connection is closed with 1011, and the error says why."""

    class WrongChannel(SpeakingChannel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            return ok(object())

    socket = channels.socket(WrongChannel)

    with pytest.raises(AssertionError, match="closed with 1011: EncodeError"):
        await channels.join(socket, "room:a")
    assert socket.close_code == 1011


async def test_refs_are_a_clients_own(channels: ChannelTest) -> None:
    """Refs start at 1 and join_refs at 11, for each connection."""
    socket = channels.socket(SpeakingChannel)
    first, second = await channels.join(socket, "room:a"), await channels.join(socket, "room:b")

    assert (first.socket.join_ref, second.socket.join_ref) == ("11", "12")
    assert [await first.push("push", {}), await second.push("push", {})] == ["3", "4"]
    assert await (await channels.join(SpeakingChannel, "room:a")).push("push", {}) == "2"


def test_channel_test_is_made_anywhere() -> None:
    """It can be created without a running loop, with the endpoint of an application."""
    endpoint = Endpoint()

    assert ChannelTest(endpoint).endpoint is endpoint


async def test_leaving_disconnects_and_cancels() -> None:
    """At the end connections are closed, and waiting callbacks are cancelled."""
    ended: list[Any] = []

    class WaitingChannel(SpeakingChannel):
        @on("wait")
        async def wait(self, payload: Any, socket: Socket) -> HandleResult:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(asyncio.current_task())
            return None

    async with ChannelTest(assert_timeout_s=0.01) as channels:
        client = await channels.subscribe_and_join(WaitingChannel, "room:a")
        await client.push("wait")
        assert not ended

    assert len(ended) == 1
    assert client.connection.close_code == 1000
    assert not len(channels.endpoint.pubsub)
    assert not len(channels.endpoint.spawner)


async def test_a_closed_connection_ends_the_waiting(channels: ChannelTest) -> None:
    """After the close an assertion fails at once, and says why."""
    client = await channels.join(SpeakingChannel, "room:a")
    await client.close()

    with pytest.raises(AssertionError, match=r"closed with 1000: \('shutdown', 'closed'\)$"):
        await client.assert_closed(timeout_s=60.0)
    await client.refute_push(timeout_s=60.0)


async def test_a_disconnected_client_has_no_effect(channels: ChannelTest) -> None:
    """Pushing, leaving and closing after a disconnect have no effect."""
    client = await channels.join(SpeakingChannel, "room:a")
    await client.close()

    actions: list[Callable[[], Any]] = [lambda: client.push("push", {}), client.leave, client.close]
    for act in actions:
        await act()
    await client.refute_push()


async def test_messages_wait_behind_a_slow_join(channels: ChannelTest) -> None:
    """Later messages of a connection wait for its pending join."""
    gate = asyncio.Event()

    class SlowChannel(SpeakingChannel):
        async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            if topic == "room:slow":
                await gate.wait()
            return ok()

    socket: ConnectedSocket = channels.socket(SlowChannel)
    client = await channels.join(socket, "room:a")
    slow = asyncio.create_task(channels.join(socket, "room:slow"))
    await asyncio.sleep(0)
    await client.push("push", {"order": 1})

    await client.refute_push()
    gate.set()
    await slow
    await client.assert_push("said", {"order": 1})
