"""Connections that are closed at a time: when the token of their client expires."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from phoenix_compat import Result, Socket, SocketHandler, ok
from tests.unit.runtime.harness import Client, Engine, OpenChannel, call_in_loop, settle

LATER_S = 3_600.0
EXPIRED = (1001, ("shutdown", "expired"))


class ExpiringChannel(OpenChannel):
    """A channel whose client's token expires as long after now as the payload says."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Close the connection then."""
        socket.close_at(time.time() + payload["in_s"])
        return ok()


async def joined(client: Client, topic: str, in_s: float) -> None:
    """Join with a token that expires in this time."""
    await client.send(topic, topic, topic, "phx_join", {"in_s": in_s})


async def test_the_connection_is_closed_at_the_time() -> None:
    """With 1001; a time that has passed is now."""
    client = Client(Engine(), {"t:*": ExpiringChannel})

    await joined(client, "t:1", -10.0)
    await settle()

    assert client.closes == [EXPIRED]


@pytest.mark.parametrize("times", [(9.0, 1.0), (1.0, 9.0), (9.0, 1.0, 5.0)], ids=str)
async def test_the_earliest_time_counts(times: tuple[float, ...]) -> None:
    """In whatever order the channels are joined."""
    client = Client(Engine(), {"t:*": ExpiringChannel})
    began_s = asyncio.get_running_loop().time()

    for number, hours in enumerate(times):
        await joined(client, f"t:{number}", hours * LATER_S)

    timer = client.server._closing
    assert timer is not None
    assert timer.when() == pytest.approx(began_s + LATER_S, abs=60.0)


async def test_a_connection_has_one_timer_and_leaves_none() -> None:
    """However many channels have a time; it is cancelled when the client disconnects."""
    client = Client(Engine(), {"t:*": ExpiringChannel})
    timers = []
    for number in range(3):
        await joined(client, f"t:{number}", LATER_S - number)
        timers.append(client.server._closing)

    await client.disconnect()
    await call_in_loop(client.server.close_at, time.time() - 1.0)
    await settle()

    assert [timer is not None and timer.cancelled() for timer in timers] == [True] * 3
    assert client.closes == []


async def test_channels_with_the_same_token_share_a_timer() -> None:
    """The same time again starts no other one."""
    client = Client(Engine(), {})
    closes_at_s = time.time() + LATER_S
    await call_in_loop(client.server.close_at, closes_at_s)
    timer = client.server._closing

    await call_in_loop(client.server.close_at, closes_at_s)

    assert client.server._closing is timer


async def test_a_connection_without_a_time_has_no_timer() -> None:
    """Most have none."""
    client = Client(Engine(), {"t:*": OpenChannel})
    await client.join("t:1")

    assert client.server._closing is None


def test_in_connect_the_time_is_noted() -> None:
    """There is no connection yet; the earliest time counts here too."""
    socket = Socket(Engine(), SocketHandler)

    for time_s in (300.0, 100.0, 200.0):
        socket.close_at(time_s)

    assert socket.closes_at_s == 100.0
