"""A channel's joins, pushes and messages, frame by frame."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import EncodeError
from phoenix_compat.client import (
    BufferFullError,
    ChannelClosedError,
    Client,
    ClientLimits,
    JoinError,
    JoinTimeoutError,
    MisuseError,
    PushError,
    PushLostError,
    PushTimeoutError,
)
from tests.integration.client.waiting import Seen, until
from tests.unit.client.channels.lone_channel import LoneChannel
from tests.unit.client.conftest import Make, Network, join

SLOW = {"rejoin_after_s": (60.0,)}


@pytest.mark.parametrize(
    ("join_ref", "is_delivered"),
    [(None, True), ("", True), ("1", True), ("0", False), ("11", False), (1, False), ([1], False)],
)
def test_is_member(join_ref: Any, is_delivered: bool) -> None:
    """Broadcasts have no join_ref; messages of other joins are dropped, whatever their event."""
    lone = LoneChannel()
    seen = Seen(lambda callback: lone.channel.on("msg", callback))

    lone.receive("msg", {"n": 1}, join_ref)

    assert seen.values == ([({"n": 1},)] if is_delivered else [])
    assert lone.counters.messages_stale == (0 if is_delivered else 1)


async def test_a_join_and_a_push(make: Make, network: Network) -> None:
    """The frames are those of phoenix.js: a join's ref is its join_ref."""
    client = make()
    connection = await network.connection()
    channel = client.channel("room:a", lambda: {"token": "t"})
    joining = asyncio.ensure_future(channel.join())
    joined = await connection.accept({"hello": 1})
    pushing = asyncio.ensure_future(channel.push("new_msg", {"body": "hi"}))
    pushed = await connection.accept({"id": 7})

    assert joined == ["1", "1", "room:a", "phx_join", {"token": "t"}]
    assert pushed == ["1", "2", "room:a", "new_msg", {"body": "hi"}]
    assert (await joining, await pushing) == ({"hello": 1}, {"id": 7})


async def test_a_refused_join_is_repeated(make: Make, network: Network) -> None:
    """`join` raises at the first refusal; in the background the channel goes on, with a new ref."""
    client = make()
    connection = await network.connection()
    channel = client.channel("room:a")
    joins = Seen(channel.on_join)
    joining = asyncio.ensure_future(channel.join())
    first = await connection.sent()
    connection.put([*first[:3], "phx_reply", {"status": "error", "response": {"reason": "full"}}])

    with pytest.raises(JoinError, match="refuses the join of 'room:a': full") as raised:
        await joining
    second = await connection.accept()
    await joins.wait_for(1)

    assert raised.value.reason == {"reason": "full"}
    assert (first[:2], second[:2]) == (["1", "1"], ["2", "2"])
    assert channel.is_joined


async def test_a_join_without_an_answer(make: Make, network: Network) -> None:
    """It is left, for it may be answered after all, and joined again; the late answer is stale."""
    client = make(timeout_s=0.05)
    connection = await network.connection()
    channel = client.channel("room:a")
    joining = asyncio.ensure_future(channel.join())
    first = await connection.sent()
    leave = await connection.sent()
    second = await connection.sent()

    with pytest.raises(JoinTimeoutError, match=r"within 0\.05 s") as raised:
        await joining
    connection.put([*first[:3], "phx_reply", {"status": "ok", "response": {}}])
    await until(lambda: client.counters.messages_stale == 1)

    assert isinstance(raised.value, TimeoutError)
    assert leave[0] == first[0]
    assert leave[3] == "phx_leave"
    assert second[3] == "phx_join"
    assert second[0] != first[0]
    assert not channel.is_joined


async def test_a_cancelled_join_leaves(make: Make, network: Network) -> None:
    """Nobody would know that the channel is joined."""
    client = make()
    connection = await network.connection()
    channel = client.channel("room:a")
    joining = asyncio.ensure_future(channel.join())
    await connection.sent()

    joining.cancel()
    await asyncio.wait([joining])

    assert joining.cancelled()
    assert (await connection.sent())[3] == "phx_leave"
    with pytest.raises(ChannelClosedError):
        await channel.push("x")


async def test_params_that_cannot_be_encoded(make: Make, network: Network) -> None:
    """The first join raises; the channel is closed."""
    client = make()
    await network.connection()
    channel = client.channel("room:a", {"x": object()})

    with pytest.raises(EncodeError):
        await channel.join()

    assert [message async for message in channel] == []


async def test_params_that_cannot_be_encoded_later(make: Make, network: Network) -> None:
    """`join` raises the same if it had to wait for the connection."""
    network.failures.append(OSError())
    client = make()
    channel = client.channel("room:a", {"x": object()})

    with pytest.raises(EncodeError):
        await channel.join()


async def test_misuse(make: Make, network: Network) -> None:
    """The errors say what to write."""
    client = make()
    connection = await network.connection()

    with pytest.raises(MisuseError, match=r"await channel\.join\(\)"):
        client.channel("room:a").push_nowait("x")
    with pytest.raises(MisuseError, match="nothing comes before the join"):
        await anext(client.channel("room:a"))
    channel = await join(client, connection)
    with pytest.raises(MisuseError, match="join can be called once"):
        await channel.join()


async def test_replies(make: Make, network: Network) -> None:
    """Each status but ok raises, each push has one reply, and unknown refs are ignored."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)
    pushing = asyncio.ensure_future(channel.push("x"))
    head = (await connection.sent())[:3]

    connection.put([head[0], "999", head[2], "phx_reply", {"status": "ok", "response": 0}])
    connection.put([head[0], None, head[2], "phx_reply", None])
    connection.put([*head, "phx_reply", {"status": "busy", "response": [1]}])
    connection.put([*head, "phx_reply", {"status": "ok", "response": 2}])

    with pytest.raises(PushError) as raised:
        await pushing
    assert (raised.value.event, raised.value.status, raised.value.response) == ("x", "busy", [1])


async def test_a_push_without_a_reply(make: Make, network: Network) -> None:
    """It raises after its own time; a late reply finds nobody."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)

    with pytest.raises(PushTimeoutError, match="push_nowait") as raised:
        await channel.push("x", timeout_s=0.01)
    await connection.accept()

    assert isinstance(raised.value, TimeoutError)
    assert client.counters.push_timeouts == 1
    assert not channel._pushes._pending


async def test_a_cancelled_push_is_forgotten(make: Make, network: Network) -> None:
    """Neither a buffered push nor a pending one stays behind."""
    client = make(**SLOW)
    connection = await network.connection()
    channel = await join(client, connection)
    pending = asyncio.ensure_future(channel.push("sent"))
    head = (await connection.sent())[:3]
    connection.put([head[0], None, head[2], "phx_error", {}])
    with pytest.raises(PushLostError, match="was interrupted before the reply to 'sent'"):
        await pending
    buffered = asyncio.ensure_future(channel.push("buffered"))
    await until(lambda: bool(channel._pushes._buffered))

    buffered.cancel()
    await asyncio.wait([buffered])

    assert not channel._pushes._buffered
    assert client.counters.pushes_lost == 1


async def crashed(client: Client, network: Network) -> Any:
    """A channel that waits for its rejoin, and its connection."""
    connection = await network.connection()
    channel = await join(client, connection)
    errors = Seen(channel.on_error)
    connection.put([channel.join_ref, None, "room:a", "phx_error", {"reason": "channel_crash"}])
    await errors.wait_for(1)
    return channel, connection


async def test_buffered_pushes(make: Make, network: Network) -> None:
    """They are sent in order after the rejoin, with its join_ref; outdated ones are not."""
    client = make(rejoin_after_s=(0.05,))
    channel, connection = await crashed(client, network)
    with pytest.raises(PushTimeoutError):
        await channel.push("outdated", timeout_s=0.001)
    for n in range(3):
        channel.push_nowait("msg", {"n": n})

    join_ref = (await connection.accept())[0]
    sent = [await connection.sent() for _ in range(3)]

    assert [(one[0], one[4]["n"]) for one in sent] == [(join_ref, 0), (join_ref, 1), (join_ref, 2)]
    assert connection.has_sent_all


async def test_outdated_pushes_that_nobody_awaits(make: Make, network: Network) -> None:
    """They are dropped and counted."""
    client = make(rejoin_after_s=(0.1,), timeout_s=5.0)
    channel, connection = await crashed(client, network)
    channel.push_nowait("msg")
    for push in channel._pushes._buffered:
        push.deadline_s = 0.0

    await connection.accept()
    await until(lambda: channel.is_joined)

    assert client.counters.pushes_outdated == 1
    assert connection.has_sent_all


async def test_the_bound_of_buffered_pushes(make: Make, network: Network) -> None:
    """One more raises, with the name of the limit; outdated ones make room."""
    client = make(limits=ClientLimits(max_buffered_pushes=2), **SLOW)
    channel, _connection = await crashed(client, network)
    channel.push_nowait("1")
    channel.push_nowait("2")

    with pytest.raises(BufferFullError, match="max_buffered_pushes is reached") as raised:
        channel.push_nowait("3")
    next(iter(channel._pushes._buffered)).deadline_s = 0.0
    channel.push_nowait("4")

    assert raised.value.limit == "max_buffered_pushes"
    assert (client.counters.pushes_refused, client.counters.pushes_outdated) == (1, 1)


async def test_the_bound_of_pending_pushes(make: Make, network: Network) -> None:
    """One more raises and is not sent."""
    client = make(limits=ClientLimits(max_pending_pushes=1))
    connection = await network.connection()
    channel = await join(client, connection)
    first = asyncio.ensure_future(channel.push("1"))
    await connection.sent()

    with pytest.raises(BufferFullError, match="max_pending_pushes"):
        await channel.push("2")

    first.cancel()
    await asyncio.wait([first])
    assert connection.has_sent_all


async def test_leave(make: Make, network: Network) -> None:
    """It waits for the answer; phx_close that follows belongs to nobody."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)
    leaving = asyncio.ensure_future(channel.leave())
    message = await connection.accept()
    await leaving
    connection.put([message[0], message[0], "room:a", "phx_close", {}])
    await until(lambda: client.counters.messages_unmatched == 1)

    assert message[3:] == ["phx_leave", {}]
    await channel.leave()
    assert connection.has_sent_all


async def test_leave_without_an_answer(make: Make, network: Network) -> None:
    """The channel is closed after the timeout."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)

    await channel.leave(timeout_s=0.01)

    assert (await connection.sent())[3] == "phx_leave"
    with pytest.raises(ChannelClosedError, match=r"create another with channel\(\)"):
        channel.push_nowait("x")


async def test_close_while_joining(make: Make, network: Network) -> None:
    """Whoever waits for the join, a push or a message is told."""
    client = make()
    connection = await network.connection()
    channel = client.channel("room:a")
    joining = asyncio.ensure_future(channel.join())
    await connection.sent()
    pushing = asyncio.ensure_future(channel.push("x"))
    reading = asyncio.ensure_future(anext(channel, None))
    await asyncio.sleep(0)

    await client.close()

    results = await asyncio.gather(joining, pushing, reading, return_exceptions=True)
    assert [type(one) for one in results] == [ChannelClosedError, ChannelClosedError, type(None)]


async def test_params_that_fail_at_a_rejoin(make: Make, network: Network) -> None:
    """The channel tries again."""
    client = make()
    connection = await network.connection()
    answers: list[Any] = [{"n": 1}, ValueError("secret"), {"n": 2}]

    def params() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    channel = client.channel("room:a", params)
    joining = asyncio.ensure_future(channel.join())
    first = await connection.accept()
    await joining
    connection.put([first[0], first[0], "room:a", "phx_error", {}])
    second = await connection.accept()

    assert (first[4], second[4]) == ({"n": 1}, {"n": 2})
    assert client.counters.callback_errors == 1
