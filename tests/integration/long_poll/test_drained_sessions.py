"""A server that stops: how its long-poll sessions end, and what they may not hold up.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from phoenix_compat import Drainer, LongPollOptions
from phoenix_compat.conformance.suite.cases import compact_json
from tests.conftest import Serve
from tests.integration.drain_harness import DRAINING, SLOW_JOIN, STARTED, Harness
from tests.polling import BEAT, LP_V2, Poller, record_requests, waiting_poll


@pytest.mark.parametrize("was_joined", [False, True])
async def test_a_session_with_a_join_in_progress_is_drained_too(
    serve: Serve, *, was_joined: bool
) -> None:
    """A2, §5.8: the poll ends at once, and the POST as soon as the join has; the channel then
    ends with "draining", and its reply is not sent.

    Source: phoenix 1.8.12, lib/phoenix/transports/long_poll_server.ex; real Phoenix was asked.
    """
    harness = Harness(longpoll=LongPollOptions(window_s=60))
    seen = record_requests(harness.app)
    client = await Poller.open(await serve(harness.app))
    if was_joined:
        await client.join()
    post = asyncio.create_task(client.publish(SLOW_JOIN))
    await harness.event_log.next()
    poll = await waiting_poll(client, seen)
    closing = asyncio.create_task(harness.endpoint.close())

    polled = await poll
    gone = await client.publish(BEAT)
    is_post_waiting = not post.done()
    harness.go_on.set()
    posted = await post
    await closing

    ends = await harness.ended(1)
    assert polled == {"messages": [], "status": 204, "token": client.token}
    assert (is_post_waiting, posted, gone) == (True, {"status": 200}, {"status": 410})
    assert [reason for _user, reason, _time in ends] == [DRAINING]
    assert (await client.get()).json == {"status": 403}


async def test_a_session_with_a_join_in_progress_is_in_a_batch(serve: Serve) -> None:
    """A2, §3.9: it counts as a client with channels, and is served until it is its turn."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=60), LongPollOptions(window_s=60))
    seen = record_requests(harness.app)
    base_url = await serve(harness.app)
    clients = [await Poller.open(base_url, f"{LP_V2}&user={user}") for user in "ab"]
    posts = [asyncio.create_task(client.publish(SLOW_JOIN)) for client in clients]
    for _post in posts:
        assert await harness.event_log.next() == STARTED
    polls = [await waiting_poll(client, seen) for client in clients]

    closing = asyncio.create_task(harness.endpoint.close())
    assert (await Poller(base_url).get()).json == {"status": 403}
    assert harness.endpoint.connections == 1
    harness.go_on.set()
    ((gone, reason, _time),) = await harness.ended(1)
    served = polls["ba".index(gone or "")]
    replies = [json.loads(text) for text in (await served)["messages"]]

    assert reason == DRAINING
    assert [reply[:4] for reply in replies] == [["2", "2", "room:a", "phx_reply"]]
    assert await asyncio.gather(*posts) == [{"status": 200}] * 2
    closing.cancel()
    for poll in polls:
        poll.cancel()


async def test_posts_behind_a_join_do_not_hold_the_server_up(serve: Serve) -> None:
    """A2, §5.8: messages that wait behind the join, in POSTs of their own or in the batch of the
    join, get 410 when the server stops."""
    harness = Harness(longpoll=LongPollOptions(window_s=60))
    seen = record_requests(harness.app)
    client = await Poller.open(await serve(harness.app))
    batch = asyncio.create_task(client.publish(SLOW_JOIN, BEAT))
    await harness.event_log.next()
    assert [await seen.next() for _request in range(2)] == ["GET", "POST"]
    behind = asyncio.create_task(client.publish(BEAT))
    assert await seen.next() == "POST"
    await client.request("OPTIONS")  # by then the POST waits in the server

    closing = asyncio.create_task(harness.endpoint.close())
    answer = await behind
    harness.go_on.set()
    answers = (answer, await batch)
    await closing

    assert answers == ({"status": 410}, {"status": 410})


async def test_sessions_are_drained_too(serve: Serve) -> None:
    """§3.9, §5.8: a long-poll session ends with "draining"; its next request gets 410."""
    harness = Harness()
    client = await Poller.open(await serve(harness.app))
    await client.join()

    await harness.endpoint.close()

    ((_user, reason, _time),) = await harness.ended(1)
    assert reason == DRAINING
    assert (await client.post(compact_json(BEAT))).json == {"status": 410}
    assert (await client.get()).json == {"status": 403}
    assert harness.endpoint.connections == 0


@pytest.mark.parametrize("is_joined", [True, False])
async def test_a_poll_that_waits_does_not_hold_the_server_up(
    serve: Serve, *, is_joined: bool
) -> None:
    """§5.8: it gets 204, although its window has not passed."""
    harness = Harness(longpoll=LongPollOptions(window_s=60))
    seen = record_requests(harness.app)
    client = await Poller.open(await serve(harness.app))
    if is_joined:
        await client.join()
    poll = await waiting_poll(client, seen)

    await harness.endpoint.close()

    assert await poll == {"messages": [], "status": 204, "token": client.token}


async def test_no_poll_holds_the_server_up(serve: Serve) -> None:
    """§5.3, §5.8: nor does a replaced poll, or the poll of an ended session."""
    harness = Harness(longpoll=LongPollOptions(window_s=60))
    seen = record_requests(harness.app)
    base_url = await serve(harness.app)
    client = await Poller.open(base_url)
    gone = await Poller.open(base_url, f"{LP_V2}&user=ann")
    polls = [await waiting_poll(poller, seen) for poller in (client, client, gone)]
    harness.endpoint.broadcast("user:ann", "disconnect", {})

    await harness.endpoint.close()

    assert [answer["status"] for answer in await asyncio.gather(*polls)] == [204] * 3
