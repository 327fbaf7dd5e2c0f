"""Long-polling: the acknowledgement of a POST, and what a pending join delays.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat import Endpoint, HandleResult, LongPollOptions, Result, Socket, ok, on
from phoenix_compat.conformance.reference import RoomChannel
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.polling import BEAT, LP_V2, Poller, record_requests, rooms_app
from tests.wire import OK


class BlockingChannel(OpenChannel):
    """Waits in `join` or in `wait` until the test releases it."""

    release: asyncio.Event
    waits: asyncio.Event

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        if payload.get("waits"):
            self.waits.set()
            await self.release.wait()
        return ok()

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        await self.release.wait()
        return ok()


def blocking_channel() -> tuple[type[BlockingChannel], asyncio.Event]:
    """A new subclass of BlockingChannel, and the event that releases it."""
    release = asyncio.Event()
    events = {"release": release, "waits": asyncio.Event()}
    return type("OwnBlockingChannel", (BlockingChannel,), events), release


PATIENT = LongPollOptions(window_s=0.5)
WAITING_JOIN = ["1", "1", "room:a", "phx_join", {"waits": True}]


async def test_a_join_that_waits_is_not_acknowledged(serve: Serve) -> None:
    """408 after the window, later lines are ignored; the join itself continues."""
    channel, release = blocking_channel()
    client = await Poller.open(await serve(rooms_app(channel, PATIENT)))

    answer = await client.publish(WAITING_JOIN, [None, "2", "phoenix", "heartbeat", {}])
    release.set()

    assert answer == {"status": 408}
    assert await client.recv() == ["1", "1", "room:a", "phx_reply", OK]
    await client.fence()


async def test_what_was_posted_behind_a_waiting_join_is_handled_later(serve: Serve) -> None:
    """408 means not handled in time; it is still handled later."""
    channel, release = blocking_channel()
    client = await Poller.open(await serve(rooms_app(channel, PATIENT)))
    join = asyncio.create_task(client.publish(WAITING_JOIN))
    await channel.waits.wait()

    late = await client.publish([None, "2", "phoenix", "heartbeat", {}])
    release.set()

    assert (await join, late) == ({"status": 408}, {"status": 408})
    assert await client.recv_many(2) == [
        ["1", "1", "room:a", "phx_reply", OK],
        [None, "2", "phoenix", "phx_reply", OK],
    ]


async def test_a_disconnect_waits_for_a_join(serve: Serve) -> None:
    """§0.1.3, §5.4: the socket is blocked: the join is acknowledged, then the end comes."""
    channel, release = blocking_channel()
    endpoint = Endpoint()
    app = rooms_app(channel, PATIENT, endpoint=endpoint)
    client = await Poller.open(await serve(app), LP_V2 + "&user=ann")
    join = asyncio.create_task(client.publish(WAITING_JOIN))
    await channel.waits.wait()

    endpoint.broadcast("user:ann", "disconnect", {})
    release.set()

    assert await join == {"status": 200}
    assert await client.publish(BEAT) == {"status": 410}


async def test_a_slow_event_is_acknowledged_at_once(serve: Serve) -> None:
    """§5.4, §10.33: a POST is acknowledged when the channel has the message."""
    channel, release = blocking_channel()
    client = await Poller.open(await serve(rooms_app(channel)))
    await client.join()

    await client.send(["1", "2", "room:a", "wait", {}], [None, "3", "phoenix", "heartbeat", {}])
    first = await client.recv()
    release.set()

    assert first == [None, "3", "phoenix", "phx_reply", OK]
    assert await client.recv() == ["1", "2", "room:a", "phx_reply", OK]


async def test_posts_behind_a_waiting_join_keep_their_order(serve: Serve) -> None:
    """§0.1.3, §10.32: they wait, and are handled in order."""
    channel, release = blocking_channel()
    app = rooms_app(channel)
    seen = record_requests(app)
    client = await Poller.open(await serve(app))
    posts = []
    second = ["2", "2", "room:b", "phx_join", {}]
    messages: list[Any] = [WAITING_JOIN, second, [None, "3", "phoenix", "heartbeat", {}]]
    for message in messages:
        posts.append(asyncio.create_task(client.publish(message)))
        await seen.next()

    release.set()

    assert await asyncio.gather(*posts) == [{"status": 200}] * 3
    assert [message[1] for message in await client.recv_many(3)] == ["1", "2", "3"]


async def test_an_event_that_disconnects_its_own_sender_is_taken(serve: Serve) -> None:
    """§5.4, §3.7: the channel got the message, which is what 200 means."""
    client = await Poller.open(await serve(rooms_app(RoomChannel, PATIENT)), LP_V2 + "&user=ann")
    await client.join()

    answer = await client.publish(["1", "2", "room:a", "disconnect_me", {}])

    assert answer == {"status": 200}
    assert await client.publish(BEAT) == {"status": 410}
