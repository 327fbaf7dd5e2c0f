"""The client against this package's server: both transports, both versions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat.client import (
    ChannelClosedError,
    Client,
    ConnectError,
    JoinError,
    Presence,
    PushError,
    PushLostError,
)
from tests.clients import CELLS, Cell
from tests.integration.client.conftest import Make, Server, joined
from tests.integration.client.waiting import Seen, until


@pytest.fixture(params=CELLS, ids=str)
def cell(request: pytest.FixtureRequest) -> Cell:
    """Each transport and version."""
    chosen: Cell = request.param
    return chosen


async def test_join_and_push(make: Make, cell: Cell) -> None:
    """A join and a push return the responses; an error reply raises with its response."""
    client = await make(*cell)
    channel = client.channel("room:a")

    response = await channel.join()
    echoed = await channel.push("echo", {"n": [1, None, "ü"]})
    with pytest.raises(PushError) as raised:
        await channel.push("echo_error", {"reason": "no"})

    assert response == {"joined": "room:a"}
    assert echoed == {"n": [1, None, "ü"]}
    assert (raised.value.status, raised.value.response) == ("error", {"reason": "no"})
    assert str(raised.value) == "the server answers 'echo_error' on 'room:a' with error: no"


async def test_events_come_in_order(make: Make, cell: Cell) -> None:
    """Pushes and broadcasts come to `async for`, those with a callback only to it."""
    client, other = await make(*cell), await make(*cell)
    channel = await joined(client)
    told: list[Any] = []

    channel.push_nowait("push", {"n": 1})
    await channel.push("broadcast", {"n": 2})
    await (await joined(other)).push("broadcast", {"n": 3})
    messages = [await anext(channel) for _ in range(3)]
    remove = channel.on("msg", told.append)
    await channel.push("broadcast", {"n": 4})
    remove()
    await channel.push("broadcast", {"n": 5})

    assert [(one.event, one.payload["n"]) for one in messages] == [("msg", n) for n in (1, 2, 3)]
    assert told == [{"n": 4}]
    assert (await anext(channel)).payload == {"n": 5}


async def test_refused_joins(make: Make, cell: Cell) -> None:
    """A refusal has the reason of the server; an unknown topic and a crash are refusals, too."""
    client = await make(*cell, rejoin_after_s=(60.0,))
    reasons = []
    for topic in ("task:missing", "task:crash", "nowhere"):
        with pytest.raises(JoinError) as raised:
            await client.channel(topic).join()
        reasons.append(raised.value.reason["reason"])

    assert reasons == ["not found", "join crashed", "unmatched topic"]
    assert client.counters.joins_refused == 3


async def test_a_crash_is_followed_by_a_rejoin(make: Make, cell: Cell) -> None:
    """The push that crashed its channel raises, and the channel works again after a while."""
    client = await make(*cell)
    channel = client.channel("room:a")
    joins, errors = Seen(channel.on_join), Seen(channel.on_error)
    await channel.join()

    with pytest.raises(PushLostError):
        await channel.push("crash")
    await joins.wait_for(2)

    assert errors.values == [({"reason": "channel_crash"},)]
    assert await channel.push("echo", {"n": 1}) == {"n": 1}


async def test_leave_ends_the_channel(make: Make, cell: Cell) -> None:
    """`async for` ends, pushes raise, and the topic can be joined by another channel."""
    client = await make(*cell)
    channel = await joined(client)
    closes = Seen(channel.on_close)

    await channel.leave()

    assert [message async for message in channel] == []
    assert closes.values == [()]
    with pytest.raises(ChannelClosedError):
        await channel.push("echo")
    again = await joined(client)
    assert await again.push("echo", {"n": 1}) == {"n": 1}
    assert again.is_joined


async def test_the_server_stops_a_channel(make: Make, cell: Cell) -> None:
    """After phx_close the channel is closed, and not joined again."""
    client = await make(*cell)
    channel = await joined(client)

    channel.push_nowait("stop")
    messages = [message async for message in channel]

    assert messages == []
    assert not channel.is_joined
    assert client.counters.joins == 1


async def test_a_second_channel_takes_the_topic(make: Make, cell: Cell) -> None:
    """As in phoenix.js, the first one is left."""
    client = await make(*cell)
    first = await joined(client)

    second = await joined(client)

    assert [message async for message in first] == []
    assert await second.push("echo", {"n": 2}) == {"n": 2}
    assert second.is_joined


async def test_a_server_that_restarts(make: Make, cell: Cell, server: Server) -> None:
    """The client comes back, joins again, and sends what was pushed in between."""
    client = await make(*cell, reconnect_after_s=(0.01, 0.05))
    channel = client.channel("room:a")
    joins, closes = Seen(channel.on_join), Seen(client.on_close)
    await channel.join()

    await server.stop()
    await closes.wait_for(1)
    waiting = asyncio.create_task(channel.push("echo", {"n": 1}))
    await server.start()
    await joins.wait_for(2)

    assert await waiting == {"n": 1}
    assert client.counters.connections_lost == 1


async def test_presence(make: Make, cell: Cell) -> None:
    """Each client sees who comes and who goes."""
    ann, bob = await make(*cell), await make(*cell)
    channel = ann.channel("presence:a", {"user": "ann"})
    presence = Presence(channel)
    leaves = Seen(presence.on_leave)
    await channel.join()
    other = bob.channel("presence:a", {"user": "bob"})
    await other.join()

    await until(lambda: len(presence.state) == 2)
    present = [key for key, _entry in presence.list()]
    await other.leave()
    await leaves.wait_for(1)

    assert sorted(present) == ["ann", "bob"]
    assert [key for key, _entry in presence.list()] == ["ann"]
    assert [key for key, _left, _gone in leaves.values] == ["bob"]


async def test_params_and_refused_connects(make: Make, cell: Cell) -> None:
    """Params are those of the present connect; a refusal has the status and no params."""
    tokens = iter(("first", "second"))

    async def params() -> dict[str, Any]:
        return {"user": {"name": "a&b"}, "ids": [1, 2], "n": next(tokens)}

    client = await make(*cell, params=params)
    seen = (await (await joined(client)).push("whoami"))["params"]
    with pytest.raises(ConnectError) as raised:
        await make(*cell, params={"token": "deny"})

    assert seen == {"user": {"name": "a&b"}, "ids": ["1", "2"], "n": "first", "vsn": cell.vsn}
    assert raised.value.status == 403
    assert "deny" not in str(raised.value)
    assert str(raised.value).endswith("check params and auth_token")


async def test_the_auth_token(make: Make, cell: Cell, server: Server) -> None:
    """It comes to the server, whatever its characters."""
    token = "secret/+ü=1" if cell.transport == "websocket" else "secret/+=1"  # a header is ASCII
    url = server.url.replace("/socket", "/extra")

    client = await make(*cell, url=url, auth_token=lambda: token)
    seen = (await (await joined(client)).push("whoami"))["auth_token"]

    assert seen == token


async def test_a_server_that_is_not_there(cell: Cell) -> None:
    """`async with` raises at once, with the reason."""
    with pytest.raises(ConnectError, match="connection refused") as raised:
        async with Client("ws://127.0.0.1:1/socket", transport=cell.transport, vsn=cell.vsn):
            pass

    assert raised.value.status is None


async def test_many_at_once(make: Make, cell: Cell) -> None:
    """Each of many concurrent pushes gets its own reply, in batches over long-poll."""
    channel = await joined(await make(*cell))

    numbers = range(250 if cell.vsn == "2.0.0" else 20)
    replies = await asyncio.gather(*(channel.push("echo", {"n": n}) for n in numbers))

    assert replies == [{"n": n} for n in numbers]


async def test_a_forced_disconnect(make: Make, cell: Cell) -> None:
    """The client connects and joins again."""
    client = await make(*cell, params={"user": "ann"}, reconnect_after_s=(0.01,))
    channel = client.channel("room:a")
    joins = Seen(channel.on_join)
    await channel.join()

    channel.push_nowait("disconnect_me")
    await joins.wait_for(2)

    await until(lambda: client.is_connected)
    assert client.counters.connects == 2
