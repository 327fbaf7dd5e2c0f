"""How a client keeps its connection, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from phoenix_compat.client import (
    ChannelClosedError,
    Client,
    ConnectError,
    MisuseError,
    PushLostError,
)
from phoenix_compat.client import runner as runner_module
from tests.integration.client.waiting import Seen, until
from tests.patience import patient
from tests.unit.client.conftest import QUICK, URL, Make, Network, join

REFUSED = ConnectError("ws://server.invalid/socket", "no", 403)


async def test_heartbeats(make: Make, network: Network) -> None:
    """One in each interval, without a join_ref."""
    make(heartbeat_interval_s=0.01)
    connection = await network.connection()

    beats = [await connection.accept() for _ in range(3)]

    assert beats == [[None, str(n), "phoenix", "heartbeat", {}] for n in (1, 2, 3)]


async def test_a_heartbeat_without_an_answer(make: Make, network: Network) -> None:
    """The connection is given up with 1000 as in phoenix.js, and made again."""
    client = make(heartbeat_interval_s=0.02)
    closes = Seen(client.on_close)
    dead = await network.connection()

    await network.connection()

    assert dead.closed == (1000, "heartbeat timeout")
    assert closes.values == [(1006, "heartbeat timeout")]
    assert client.counters.heartbeat_timeouts == 1


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 3410, 4000])
async def test_it_reconnects_after_every_code(make: Make, network: Network, code: int) -> None:
    """Also after 1000, as phoenix.js does since 1.8.16; then it joins again, with a new ref."""
    client = make()
    first = await network.connection()
    channel = await join(client, first)
    join_ref = channel.join_ref
    pushing = asyncio.ensure_future(channel.push("x"))
    await first.sent()

    first.lose(code)
    with pytest.raises(PushLostError):
        await pushing
    second = await network.connection()
    rejoin = await second.accept()

    assert rejoin[3] == "phx_join"
    assert rejoin[0] != join_ref
    assert client.counters.connections_lost == 1


@pytest.mark.parametrize(("stable_after_s", "tries"), [(0.0, 1), (60.0, 3)])
async def test_the_waits_begin_anew_after_a_stable_connection(
    make: Make,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    stable_after_s: float,
    tries: int,
) -> None:
    """A server that accepts and then closes is asked less and less often."""
    monkeypatch.setattr(runner_module, "STABLE_AFTER_S", stable_after_s)
    client = make()
    for _ in range(3):
        (await network.connection()).lose()
    await network.connection()

    assert client._runner._backoff.tries == tries


async def test_the_first_connection(network: Network) -> None:
    """`async with` raises if it fails, and leaves nothing behind."""
    network.failures.append(REFUSED)

    with pytest.raises(ConnectError) as raised:
        async with Client(URL, **QUICK):
            pass

    assert raised.value.status == 403
    assert str(raised.value) == (
        "cannot connect to ws://server.invalid/socket: no; check params and auth_token"
    )


async def test_start_goes_on(make: Make, network: Network) -> None:
    """Failures are counted and told; the client connects as soon as it can."""
    network.failures.extend([REFUSED, ValueError("secret")])
    client = make()
    errors, opens = Seen(client.on_error), Seen(client.on_open)

    await network.connection()
    await opens.wait_for(1)

    assert [type(error) for (error,) in errors.values] == [ConnectError, ValueError]
    assert (client.counters.connect_failures, client.counters.connects) == (2, 1)
    assert client.is_connected


async def test_a_join_waits_for_the_connection(make: Make, network: Network) -> None:
    """A channel can be joined before there is a connection."""
    network.failures.extend([REFUSED] * 3)
    client = make()
    channel = client.channel("room:a")
    joining = asyncio.ensure_future(channel.join())

    await (await network.connection()).accept({"n": 1})

    assert await joining == {"n": 1}


async def test_unreadable_messages(make: Make, network: Network) -> None:
    """They are counted; the client goes on."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)

    wrong: list[Any] = [b"{", b"[]", [1, 2, ["t"], "e", {}], [None, None, "room:a", ["e"], {}]]
    for one in wrong:
        connection.put(one)
    connection.put([None, None, "elsewhere", "e", {}])
    connection.put([None, None, "room:a", "e", {"n": 1}])

    assert (await anext(channel)).payload == {"n": 1}
    assert client.counters.messages_unreadable == 4
    assert client.counters.messages_unmatched == 1


async def test_a_flood_leaves_others_their_turn(make: Make, network: Network) -> None:
    """Whoever reads as fast as possible loses nothing, although the queue is much shorter."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)
    for n in range(5_000):
        connection.put([None, None, "room:a", "e", {"n": n}])

    numbers = [(await anext(channel)).payload["n"] for _ in range(5_000)]

    assert numbers == list(range(5_000))
    assert client.counters.messages_dropped == 0


async def test_callbacks_that_raise(
    make: Make, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is counted, and logged with its place, without what it says."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)
    seen = Seen(lambda callback: channel.on("e", callback))

    def fail(payload: Any) -> None:
        raise ValueError(payload["password"])

    channel.on("e", fail)
    connection.put([None, None, "room:a", "e", {"password": "hunter2"}])
    connection.put([None, None, "room:a", "e", {"password": "hunter2"}])
    await seen.wait_for(2)
    await until(lambda: client.counters.callback_errors == 2)

    assert "a callback raised ValueError at " in caplog.text
    assert "test_client.py" in caplog.text
    assert "hunter2" not in caplog.text


async def test_callbacks_are_plain_functions(network: Network) -> None:
    """A coroutine function would never be awaited."""

    async def wrong(*_values: Any) -> None:
        pass

    client = Client(URL)

    for add in (client.on_open, client.on_close, client.on_error, client.channel("t").on_join):
        with pytest.raises(MisuseError, match="callbacks are plain functions"):
            add(wrong)


async def test_logs_have_no_secrets(
    make: Make, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither payloads nor params nor tokens, at any level."""
    caplog.set_level(logging.DEBUG, "phoenix_compat.client")
    network.failures.append(RuntimeError("s3cret"))
    client = make(params={"token": "s3cret"}, auth_token="s3cret", heartbeat_interval_s=0.02)
    connection = await network.connection()
    channel = client.channel("room:a", {"token": "s3cret"})
    joining = asyncio.ensure_future(channel.join())
    await connection.accept({"token": "s3cret"})
    await joining
    channel.push_nowait("x", {"token": "s3cret"})
    connection.put([None, None, "room:a", "e", {"token": "s3cret"}])
    connection.put(b"s3cret")
    await network.connection()

    assert caplog.records
    assert "s3cret" not in caplog.text


async def test_close_leaves_nothing(network: Network) -> None:
    """No task, no open connection, no error that nobody has seen."""
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
    before = asyncio.all_tasks()
    client = Client(URL, **QUICK)
    client.start()
    connection = await network.connection()
    channel = await join(client, connection)
    pushing = asyncio.ensure_future(channel.push("x"))
    reading = asyncio.ensure_future(anext(channel, None))
    await connection.sent()

    await client.close()
    await client.close()
    results = await asyncio.gather(pushing, reading, return_exceptions=True)
    session: Any = client._own_session
    del client, channel, pushing, reading
    gc.collect()
    await asyncio.sleep(0)

    assert [type(one) for one in results] == [ChannelClosedError, type(None)]
    assert asyncio.all_tasks() == before
    assert connection.closed == (1000, "")
    assert session.closed
    assert unseen == []


async def test_close_sends_what_was_pushed(make: Make, network: Network) -> None:
    """A push right before the end is not lost."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)

    channel.push_nowait("last", {"n": 1})
    await client.close()

    assert (await connection.sent())[3:] == ["last", {"n": 1}]


async def test_close_while_the_server_takes_nothing(make: Make, network: Network) -> None:
    """Closing does not wait for it long."""
    client = make()
    connection = await network.connection()
    channel = await join(client, connection)
    connection.may_send.clear()
    channel.push_nowait("last")

    async with asyncio.timeout(patient(5.0)):
        await client.close()

    assert not client.is_connected


async def test_a_cancelled_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """`async with` that is cancelled while it connects leaves nothing."""
    before = asyncio.all_tasks()
    client = Client("ws://127.0.0.1:9/socket")

    async def never(_self: Any, _session: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("phoenix_compat.client.connector.Connector.open", never)
    entering = asyncio.create_task(client.__aenter__())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait([entering])

    assert entering.cancelled()
    assert asyncio.all_tasks() == before
