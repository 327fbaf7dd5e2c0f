"""Websocket connections of ASGI servers: joins that wait, slow clients, lost ones, closes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from phoenix_compat import Limits, WebSocketOptions
from tests.unit.transports.asgi.harness import FakeServer, Harness, ended, websocket_scope

CLOSED = ("shutdown", "closed")
BIG = 40_000


async def test_a_message_is_answered() -> None:
    """A reply has the client's refs, and is text."""
    server, _running = await Harness().join()

    server.message("1", "2", "room:a", "echo", {"é": 1})
    await server.sent_when(3)

    assert server.messages[-1][4] == {"status": "ok", "response": {"é": 1}}


async def test_binary_both_ways() -> None:
    """A binary message is answered with bytes."""
    server, _running = await Harness().join()

    server.give("websocket.receive", bytes=b"\x00\x01\x01\x06\x05" + b"12room:abytes\xff\x00")
    answer = (await server.sent_when(3))[-1]

    assert answer["type"] == "websocket.send"
    assert answer["bytes"].endswith(b"\xff\x00")
    assert "text" not in answer


async def test_many_messages_of_one_callback_are_sent_in_order() -> None:
    """More than is in flight at once arrives completely, in order."""
    server, _running = await Harness().join()

    server.message("1", "2", "room:a", "push_many", {"count": 100, "size": 5_000})
    await server.sent_when(102)

    numbers = [message[4]["n"] for message in server.messages if message[3] == "msg"]
    assert numbers == list(range(100))


# Joins that wait.


async def test_nothing_is_received_while_a_join_is_pending() -> None:
    """Later messages stay with the server, and are answered after the join."""
    harness = Harness()
    server, _running = await harness.connect()
    server.message("1", "1", "room:slow", "phx_join", {})
    server.message("1", "2", "room:slow", "echo", {"a": 1})
    await harness.log.next()
    await asyncio.sleep(0)
    received = server.receives

    harness.go_on.set()
    await server.sent_when(3)

    assert received == 2  # the connect and the join
    assert [message[1] for message in server.messages] == ["1", "2"]


async def test_a_disconnect_during_a_join() -> None:
    """The channel is joined, and ends as soon as the disconnect is received."""
    harness = Harness()
    server, running = await harness.connect()
    server.message("1", "1", "room:slow", "phx_join", {})
    await harness.log.next()
    server.give("websocket.disconnect", code=1005)

    harness.go_on.set()
    await ended(running)

    assert await harness.log.next() == CLOSED
    assert harness.endpoint.connections == 0


async def test_a_close_during_a_join() -> None:
    """A connection that the endpoint closes is closed at once; the join goes on to its end."""
    harness = Harness()
    server, running = await harness.connect()
    server.message("1", "1", "room:slow", "phx_join", {})
    await harness.log.next()

    closing = asyncio.create_task(harness.endpoint.close())
    await server.sent_when(2)
    server.give("websocket.disconnect", code=1012)
    await ended(running)
    harness.go_on.set()
    await closing

    assert server.close_codes == [1012]
    assert await harness.log.next() == ("shutdown", "draining")


# Slow clients.


async def stall(server: FakeServer, count: int, size: int = BIG) -> None:
    """Let the client take nothing, and push to it."""
    server.writable.clear()
    server.message("1", "2", "room:a", "push_many", {"count": count, "size": size})


async def test_a_slow_client_gets_everything_within_the_limit() -> None:
    """What it does not take waits, and is sent in order when it goes on."""
    server, _running = await Harness().join()

    await stall(server, 50)
    await asyncio.sleep(0.01)
    server.writable.set()
    await server.sent_when(52)

    numbers = [message[4]["n"] for message in server.messages if message[3] == "msg"]
    assert numbers == list(range(50))
    assert server.close_codes == []


async def test_a_client_that_is_too_slow() -> None:
    """With more unsent bytes than the limit it is closed with 1013, and counted."""
    harness = Harness(Limits(max_outbox_bytes=5 * BIG))
    server, running = await harness.join()

    await stall(server, 20)
    reason = await harness.log.next()
    server.writable.set()
    await server.sent_when(4)
    server.give("websocket.disconnect", code=1013)
    await ended(running)

    assert reason == ("shutdown", "slow")
    assert server.close_codes == [1013]
    assert harness.endpoint.counters.slow_clients_closed == 1


async def test_of_broadcasts_that_may_replace_each_other_it_gets_the_newest() -> None:
    """`newest_only`: those that wait in the backlog are replaced, and counted."""
    harness = Harness()
    server, _running = await harness.join()
    await stall(server, 3)
    await asyncio.sleep(0.01)

    for number in range(10):
        harness.endpoint.broadcast("room:a", "progress", {"n": number}, newest_only=True)
        await asyncio.sleep(0)
    server.writable.set()
    await server.sent_when(6)

    progress = [message[4]["n"] for message in server.messages if message[3] == "progress"]
    assert progress == [9]
    assert harness.endpoint.counters.frames_replaced == 9


async def test_a_client_that_takes_nothing_for_too_long() -> None:
    """After `send_timeout_s` it is closed with 1013; after `close_timeout_s` it is dropped."""
    harness = Harness(Limits(send_timeout_s=0.1, close_timeout_s=0.1))
    server, running = await harness.join()

    await stall(server, 5)
    reason = await harness.log.next()
    await ended(running)

    assert reason == ("shutdown", "slow")
    assert harness.endpoint.counters.slow_clients_closed == 1
    assert harness.endpoint.connections == 0


async def test_a_client_that_takes_nothing_of_a_little() -> None:
    """A little that is not taken is noticed too, when idle clients are looked for."""
    harness = Harness(
        Limits(send_timeout_s=0.1, close_timeout_s=0.1), WebSocketOptions(timeout_s=0.5)
    )
    server, running = await harness.join()
    server.writable.clear()

    server.message("1", "2", "room:a", "echo", {})
    reason = await harness.log.next()
    await ended(running)

    assert reason == ("shutdown", "slow")


# Lost clients.


@pytest.mark.parametrize(
    ("code", "detail"), [(1000, "closed"), (1006, "closed"), (1012, "draining")]
)
async def test_a_client_that_is_gone(code: int, detail: str) -> None:
    """The channels end; 1012 is the ASGI server that stops."""
    harness = Harness()
    server, running = await harness.join()

    server.give("websocket.disconnect", code=code)
    await ended(running)

    assert await harness.log.next() == ("shutdown", detail)
    assert harness.endpoint.connections == 0


async def test_a_disconnect_while_send_waits() -> None:
    """The send is cancelled, and the application returns."""
    harness = Harness()
    server, running = await harness.join()
    await stall(server, 5)
    await asyncio.sleep(0)

    server.give("websocket.disconnect", code=1006)
    await ended(running)

    assert await harness.log.next() == CLOSED


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("a middleware's bug")])
async def test_a_send_that_raises(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The connection ends; only what is no disconnect is logged."""
    harness = Harness()
    server, running = await harness.join()
    server.error = error

    with caplog.at_level(logging.WARNING):
        server.message("1", "2", "room:a", "echo", {})
        await ended(running)

    assert await harness.log.next() == CLOSED
    assert ("send() failed" in caplog.text) is isinstance(error, RuntimeError)


async def test_a_server_that_cancels_the_application() -> None:
    """The cancellation goes on to the server, and the channels end."""
    harness = Harness()
    _server, running = await harness.join()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert await harness.log.next() == CLOSED
    assert harness.endpoint.connections == 0


# Closes.


@pytest.mark.parametrize(
    ("event", "code"),
    [({"text": "{"}, 1011), ({"text": "x" * 101}, 1009), ({"bytes": b"\xff"}, 1011)],
)
async def test_unreadable_messages(event: dict[str, Any], code: int) -> None:
    """They close the connection with the codes that aiohttp's transport has."""
    server, running = await Harness(websocket=WebSocketOptions(max_message_bytes=100)).connect()

    server.give("websocket.receive", **event)
    await server.sent_when(2)
    server.give("websocket.disconnect", code=code)
    await ended(running)

    assert server.close_codes == [code]


async def test_messages_after_the_close_are_ignored() -> None:
    """A client may send until it gets the close."""
    harness = Harness()
    server, running = await harness.join()

    closing = asyncio.create_task(harness.endpoint.close())
    await server.sent_when(3)
    server.message("1", "3", "room:a", "echo", {})
    server.give("websocket.disconnect", code=1012)
    await ended(running)
    await closing

    assert [event["type"] for event in server.sent[1:]] == ["websocket.send", "websocket.close"]
    assert server.close_codes == [1012]


async def test_a_client_that_does_not_answer_a_close() -> None:
    """After `close_timeout_s` the application returns."""
    harness = Harness(Limits(close_timeout_s=0.1))
    server, running = await harness.join()

    await harness.endpoint.close()
    await ended(running)

    assert server.close_codes == [1012]


async def test_an_idle_client_is_closed_with_1002() -> None:
    """A client that sends nothing for the whole timeout."""
    harness = Harness(websocket=WebSocketOptions(timeout_s=0.1))
    server, running = await harness.join()

    assert await harness.log.next() == ("shutdown", "timeout")

    await server.sent_when(3)
    server.give("websocket.disconnect", code=1002)
    await ended(running)
    assert server.close_codes == [1002]


async def test_an_endpoint_that_was_closed_accepts_nobody() -> None:
    """A connect afterwards gets 503."""
    harness = Harness()
    await harness.endpoint.close()
    server, running = harness.run(websocket_scope())
    server.give("websocket.connect")

    await ended(running)

    assert server.sent[0]["status"] == 503
