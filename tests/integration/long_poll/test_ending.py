"""Long-polling: the end of a session, and how its client notices it.

Numbers are those of docs/protocol.md, §5.7 and §5.8 for the most part.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, Limits, Socket
from phoenix_compat.conformance.reference import RoomChannel
from phoenix_compat.conformance.suite.cases import compact_json
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.polling import (
    BEAT,
    LP_V1,
    LP_V2,
    SHORT,
    Poller,
    record_requests,
    rooms_app,
    waiting_poll,
)
from tests.serving import EventLog

AS_ANN = LP_V2 + "&user=ann"


def mortal(base: type[Channel] = OpenChannel) -> tuple[type[Channel], EventLog]:
    """A channel that records why it ends, with its topic; and its event log."""
    event_log = EventLog()

    class MortalChannel(base):  # type: ignore[misc, valid-type] # a class of the caller's choice
        def terminate(self, reason: Any, socket: Socket) -> None:
            event_log.record((socket.topic, reason))

    return MortalChannel, event_log


async def assert_it_is_gone(client: Poller) -> None:
    """A POST gets 410; so does a GET, which creates a new session with a new token."""
    assert await client.publish(BEAT) == {"status": 410}
    fresh = await client.poll()
    assert (fresh["status"], fresh["messages"]) == (410, [])
    assert fresh["token"] != client.token
    client.token = fresh["token"]
    await client.fence()


async def test_a_forced_disconnect(serve: Serve) -> None:
    """§3.7, §5.8, §9.3.55: all channels end with "disconnected"; then the token is invalid."""
    endpoint = Endpoint()
    channel, event_log = mortal()
    base_url = await serve(rooms_app(channel, endpoint=endpoint))
    client, other = await Poller.open(base_url, AS_ANN), await Poller.open(base_url)
    await client.join("room:a")
    await client.join("room:b", "2")
    await other.join("room:a")

    endpoint.broadcast("user:ann", "disconnect", {})

    ended = {await event_log.next(), await event_log.next()}
    assert ended == {(topic, ("shutdown", "disconnected")) for topic in ("room:a", "room:b")}
    await assert_it_is_gone(client)
    await other.fence()


async def test_a_forced_disconnect_over_v1(serve: Serve) -> None:
    """§9.3.55 over V1: the session with that id has ended."""
    endpoint = Endpoint()
    channel, event_log = mortal()
    app = rooms_app(channel, endpoint=endpoint)
    client = await Poller.open(await serve(app), LP_V1 + "&user=ann")
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}
    await client.post(compact_json(join), "")
    await client.recv()

    endpoint.broadcast("user:ann", "disconnect", {})

    assert await event_log.next() == ("room:a", ("shutdown", "disconnected"))
    assert (await client.post(compact_json(join), "")).json == {"status": 410}
    assert (await client.poll())["status"] == 410


async def test_a_waiting_poll_is_not_woken_by_the_end(serve: Serve) -> None:
    """§5.8, §10.53, §10.70: it gets 204 after its window, and nothing about the channels' end."""
    endpoint, loop = Endpoint(), asyncio.get_running_loop()
    app = rooms_app(OpenChannel, SHORT, endpoint=endpoint)
    seen = record_requests(app)
    client = await Poller.open(await serve(app), AS_ANN)
    await client.join()
    began_at_s = loop.time()
    poll = await waiting_poll(client, seen)

    endpoint.broadcast("user:ann", "disconnect", {})

    assert await poll == {"messages": [], "status": 204, "token": client.token}
    assert loop.time() - began_at_s >= SHORT.window_s
    await assert_it_is_gone(client)


async def test_a_waiting_poll_gets_what_came_before_the_end(serve: Serve) -> None:
    """§5.3: it gets a broadcast from just before the disconnect."""
    endpoint = Endpoint()
    app = rooms_app(OpenChannel, endpoint=endpoint)
    seen = record_requests(app)
    client = await Poller.open(await serve(app), AS_ANN)
    await client.join()
    poll = await waiting_poll(client, seen)

    endpoint.broadcast("room:a", "msg", {"n": 1})
    endpoint.broadcast("user:ann", "disconnect", {})

    answer = await poll
    assert answer["status"] == 200
    assert [json.loads(message)[3] for message in answer["messages"]] == ["msg"]
    await assert_it_is_gone(client)


async def test_what_was_not_polled_is_lost(serve: Serve) -> None:
    """§5.3, §5.8: messages that wait when a session ends are lost."""
    endpoint = Endpoint()
    client = await Poller.open(await serve(rooms_app(OpenChannel, endpoint=endpoint)), AS_ANN)
    await client.join()
    await client.send(["1", "2", "room:a", "echo", {}])

    endpoint.broadcast("user:ann", "disconnect", {})

    await assert_it_is_gone(client)


async def test_a_session_that_crashes(serve: Serve) -> None:
    """§3.10, §5.4, §5.8: its channels end with the error, its poll gets 204, then it is 410."""
    channel, event_log = mortal()
    app = rooms_app(channel, SHORT)
    seen = record_requests(app)
    client = await Poller.open(await serve(app))
    await client.join()
    poll = await waiting_poll(client, seen)

    posted = await client.post("[not json")

    topic, reason = await event_log.next()
    assert posted.json == {"status": 408}
    assert topic == "room:a"
    assert isinstance(reason, BaseException)
    assert await poll == {"messages": [], "status": 204, "token": client.token}
    await assert_it_is_gone(client)


async def test_a_session_that_nobody_polls_ends(serve: Serve) -> None:
    """§5.7, §9.3.47: after one and a half to three windows without a poll; then POSTs get 410."""
    loop = asyncio.get_running_loop()
    channel, event_log = mortal()
    client = await Poller.open(await serve(rooms_app(channel, SHORT)))
    await client.join()
    polled_at_s = loop.time()

    ended = await event_log.next()

    assert ended == ("room:a", ("shutdown", "inactive"))
    assert loop.time() - polled_at_s >= 1.4 * SHORT.window_s  # the join's poll began a bit earlier
    await assert_it_is_gone(client)


async def test_posts_do_not_keep_a_session_alive(serve: Serve) -> None:
    """§5.7, §10.67: only polls keep a session alive."""
    channel, event_log = mortal()
    client = await Poller.open(await serve(rooms_app(channel, SHORT)))
    await client.join()

    while await client.publish(BEAT) == {"status": 200}:
        pass

    assert await event_log.next() == ("room:a", ("shutdown", "inactive"))


async def test_polls_keep_a_session_alive(serve: Serve) -> None:
    """§5.7: repeated polls keep a session alive for many windows."""
    channel, event_log = mortal()
    client = await Poller.open(await serve(rooms_app(channel, SHORT)))
    await client.join()

    answers = [(await client.poll())["status"] for _poll in range(5)]

    assert answers == [204] * 5
    assert event_log.is_empty
    await client.fence()


async def test_a_client_that_polls_too_slowly(serve: Serve) -> None:
    """Limits: more than `max_outbox_bytes` unsent bytes end the session, and are counted."""
    endpoint = Endpoint(limits=Limits(max_outbox_bytes=1_000))
    channel, event_log = mortal()
    base_url = await serve(rooms_app(channel, endpoint=endpoint))
    slow, quick = await Poller.open(base_url), await Poller.open(base_url)
    await slow.join()
    await quick.join()

    for number in range(3):
        endpoint.broadcast("room:a", "msg", {"n": number, "text": "x" * 400})
        assert (await quick.recv())[4]["n"] == number

    assert await event_log.next() == ("room:a", ("shutdown", "slow"))
    assert endpoint.counters.slow_clients_closed == 1
    await assert_it_is_gone(slow)
    await quick.fence()


async def test_one_large_message_is_allowed(serve: Serve) -> None:
    """Limits: what is larger than the bound by itself goes through, as over a websocket.

    The client could not have polled it any sooner.
    """
    endpoint = Endpoint(limits=Limits(max_outbox_bytes=1_000))
    client = await Poller.open(await serve(rooms_app(RoomChannel, endpoint=endpoint)))
    await client.join()

    answer = await client.ask(["1", "2", "room:a", "echo", {"a": "x" * 2_000}])

    assert answer[1] == "2"
    assert endpoint.counters.slow_clients_closed == 0


async def test_what_was_polled_does_not_count(serve: Serve) -> None:
    """Limits: the limit is for unsent bytes only."""
    endpoint = Endpoint(limits=Limits(max_outbox_bytes=1_000))
    client = await Poller.open(await serve(rooms_app(RoomChannel, endpoint=endpoint)))
    await client.join()

    for number in range(10):
        answer = await client.ask(["1", str(number), "room:a", "echo", {"a": "x" * 600}])
        assert answer[1] == str(number)

    assert endpoint.counters.slow_clients_closed == 0


async def test_ended_sessions_are_forgotten(serve: Serve) -> None:
    """§5.8: an endpoint counts live sessions, and keeps nothing of the others."""
    endpoint = Endpoint()
    app = rooms_app(OpenChannel, endpoint=endpoint)
    base_url = await serve(app)
    for _client in range(3):
        await (await Poller.open(base_url, AS_ANN)).join()
    stranger = await Poller.open(base_url)

    endpoint.broadcast("user:ann", "disconnect", {})

    assert endpoint.connections == 1
    assert endpoint.counters.sockets_closed == 3
    await stranger.fence()


@pytest.mark.parametrize("event", ["phx_leave", "stop", "crash"])
async def test_a_channel_that_ends_leaves_its_session(serve: Serve, event: str) -> None:
    """§3.6, §10.40: other channels of the session continue."""
    client = await Poller.open(await serve(rooms_app(RoomChannel)))
    await client.join("room:a", "1")
    await client.join("room:b", "2")

    await client.send(["1", "3", "room:a", event, {}])
    while (await client.recv_some())[-1][3] not in {"phx_close", "phx_error"}:
        pass

    assert (await client.ask(["2", "4", "room:b", "echo", {}]))[0] == "2"
