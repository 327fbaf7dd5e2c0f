"""Long-polling without errors: a session, its polls, and their messages.

Numbers are those of docs/protocol.md, mostly §9.3 and §9.4: what Phoenix's own tests assert.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat import Endpoint, HandleResult, Result, Socket, ok, on
from phoenix_compat.conformance.reference import RoomChannel
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.polling import (
    LP_V1,
    LP_V2,
    SHORT,
    Poller,
    longpoll_app,
    record_requests,
    rooms_app,
    waiting_poll,
)
from tests.serving import accepting
from tests.wire import CRASHED, OK, UNMATCHED, replied

V1_JOIN = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}
LEFT = ["1", "3", "room:a", "phx_reply", OK]
CLOSED = ["1", "1", "room:a", "phx_close", {}]
JSON_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "Access-Control-Allow-Origin": "*",
}


class LobbyChannel(OpenChannel):
    """The room of Phoenix's own long-poll test: it pushes after a join, and at its end."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self("after_join")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.broadcast("user_entered", {"user": None})
        socket.push("joined", {"status": "connected"})

    @on("new_msg")
    def new_msg(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast("new_msg", payload)
        return None

    @on("count")
    def count(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("counted", payload)
        return ok()


def are_json(headers: Any) -> bool:
    """Whether these are the headers of every JSON response."""
    return {name: headers[name] for name in JSON_HEADERS} == JSON_HEADERS


async def test_a_visit(serve: Serve) -> None:
    """§9.3.38: 410 and a token, then reply, broadcast and push in one poll, then 204."""
    client = await Poller.open(await serve(rooms_app(LobbyChannel, SHORT)))

    published = await client.publish(["1", "1", "room:a", "phx_join", {}])
    messages = await client.recv_many(3)
    nothing = await client.poll()

    assert published == {"status": 200}
    assert messages == [
        ["1", "1", "room:a", "phx_reply", OK],
        [None, None, "room:a", "user_entered", {"user": None}],
        ["1", None, "room:a", "joined", {"status": "connected"}],
    ]
    assert nothing == {"messages": [], "status": 204, "token": client.token}


async def test_a_visit_over_v1(serve: Serve) -> None:
    """§9.3.38 over V1, §5.3: the same as objects of four keys, posted as plain JSON."""
    client = await Poller.open(await serve(rooms_app(LobbyChannel)), LP_V1)

    published = await client.post(json.dumps(V1_JOIN), "application/json")

    assert published.json == {"status": 200}
    assert await client.recv_many(3) == [
        {"event": "phx_reply", "payload": OK, "ref": "1", "topic": "room:a"},
        {"event": "user_entered", "payload": {"user": None}, "ref": None, "topic": "room:a"},
        {"event": "joined", "payload": {"status": "connected"}, "ref": None, "topic": "room:a"},
    ]


async def test_the_bytes_of_the_answers(serve: Serve) -> None:
    """§5.1, §5.3, §5.4, §9.4.66, §10.60, §10.64, §10.69: sorted keys, frames as strings, headers.

    Every answer is 200 and is never cached; a poll always repeats the token.
    """
    client = Poller(await serve(rooms_app(OpenChannel, SHORT)))

    opened = await client.get()
    token = client.token = opened.json["token"]
    posted = await client.post('["1","1","room:é","phx_join",{}]')
    polled = await client.get()
    nothing = await client.get()

    frame = r"[\"1\",\"1\",\"room:é\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"
    assert opened.body.decode() == f'{{"messages":[],"status":410,"token":"{token}"}}'
    assert posted.body == b'{"status":200}'
    assert polled.body.decode() == f'{{"messages":["{frame}"],"status":200,"token":"{token}"}}'
    assert nothing.body.decode() == f'{{"messages":[],"status":204,"token":"{token}"}}'
    assert all(answer.status == 200 for answer in (opened, posted, polled, nothing))
    assert all(are_json(answer.headers) for answer in (opened, posted, polled, nothing))


async def test_the_first_get_does_not_wait(serve: Serve) -> None:
    """§5.3, §10.61: the response is immediate, with 410 and a token, whatever the window."""
    base_url = await serve(rooms_app(OpenChannel))

    async with asyncio.timeout(patient(2)):
        first, second = await Poller.open(base_url), await Poller.open(base_url)

    assert first.token != second.token


async def test_a_poll_waits_for_the_first_message(serve: Serve) -> None:
    """§5.3, §9.4.67: a poll without messages is woken by the next one."""
    endpoint = Endpoint()
    app = rooms_app(OpenChannel, endpoint=endpoint)
    seen = record_requests(app)
    client = await Poller.open(await serve(app))
    await client.join()
    poll = await waiting_poll(client, seen)

    endpoint.broadcast("room:a", "msg", {"n": 1})

    assert (await poll)["messages"] == ['[null,null,"room:a","msg",{"n":1}]']


async def test_a_poll_takes_all_that_is_there(serve: Serve) -> None:
    """§5.3, appendix A.3: all messages since the last poll, oldest first, once."""
    client = await Poller.open(await serve(rooms_app(LobbyChannel)))
    await client.send(["1", "1", "room:a", "phx_join", {}])
    await client.recv_many(3)

    for number in range(5):
        await client.send(["1", str(number), "room:a", "count", {"n": number}])
    answer = await client.poll()

    heard = [json.loads(text) for text in answer["messages"]]
    assert [message[4].get("n") for message in heard] == [
        0,
        None,
        1,
        None,
        2,
        None,
        3,
        None,
        4,
        None,
    ]
    assert [message[1] for message in heard if message[3] == "phx_reply"] == list("01234")
    await client.fence()


async def test_two_polls_at_once(serve: Serve) -> None:
    """§5.3, §9.13.214: the newer poll takes over; the older one gets nothing, and 204."""
    endpoint = Endpoint()
    app = rooms_app(OpenChannel, SHORT, endpoint=endpoint)
    seen = record_requests(app)
    client = await Poller.open(await serve(app))
    await client.join()

    older = await waiting_poll(client, seen)
    newer = await waiting_poll(client, seen)
    endpoint.broadcast("room:a", "msg", {})

    assert (await newer)["messages"] == ['[null,null,"room:a","msg",{}]']
    assert await older == {"messages": [], "status": 204, "token": client.token}
    await client.fence()


async def test_the_end_of_an_older_poll_is_none_for_the_newer(serve: Serve) -> None:
    """§5.3: the newer one waits on after the older window, and is woken."""
    endpoint = Endpoint()
    rooms = accepting({"room:*": OpenChannel})
    endpoint.socket("/patient", rooms, longpoll=True)
    app = longpoll_app(rooms, SHORT, endpoint=endpoint)
    seen = record_requests(app)
    base_url = await serve(app)
    client = await Poller.open(base_url)
    await client.join()
    older = await waiting_poll(client, seen)
    client.url = f"{base_url}/patient/longpoll?vsn=2.0.0"
    newer = await waiting_poll(client, seen)

    nothing = await older
    endpoint.broadcast("room:a", "msg", {})

    assert nothing["status"] == 204
    assert (await newer)["messages"] == ['[null,null,"room:a","msg",{}]']


def recorded(app: web.Application) -> list[web.Request]:
    """The requests as they come."""
    requests: list[web.Request] = []

    @web.middleware
    async def recording(request: web.Request, handler: Any) -> Any:
        requests.append(request)
        return await handler(request)

    app.middlewares.append(recording)
    return requests


async def test_a_poll_of_a_lost_connection_takes_nothing(serve: Serve) -> None:
    """§5.3: after a lost connection the next poll takes over, and gets the messages."""
    endpoint = Endpoint()
    app = rooms_app(OpenChannel, SHORT, endpoint=endpoint)
    seen = record_requests(app)
    client = await Poller.open(await serve(app))
    await client.join()
    lost = await waiting_poll(client, seen)
    lost.cancel()

    poll = await waiting_poll(client, seen)
    endpoint.broadcast("room:a", "msg", {})

    assert (await poll)["messages"] == ['[null,null,"room:a","msg",{}]']


async def test_a_message_does_not_go_into_a_lost_connection(serve: Serve) -> None:
    """A8: the client closes a waiting poll, then a message comes: the next poll gets it, once."""
    endpoint = Endpoint()
    app = rooms_app(OpenChannel, endpoint=endpoint)
    seen, requests = record_requests(app), recorded(app)
    client = await Poller.open(await serve(app))
    await client.join()
    lost = await waiting_poll(client, seen)
    lost.cancel()
    async with asyncio.timeout(patient(5.0)):
        while requests[-1].transport is not None:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0.01)

    endpoint.broadcast("room:a", "msg", {"number": 1})
    await asyncio.sleep(0)
    endpoint.broadcast("room:a", "msg", {"number": 2})

    assert await client.recv_many(2) == [
        [None, None, "room:a", "msg", {"number": number}] for number in (1, 2)
    ]
    await client.fence()


async def test_a_message_without_join_ref(serve: Serve) -> None:
    """§9.3.44-45, §10.24, §10.66: handled if joined; otherwise "unmatched topic", still 200."""
    base_url = await serve(rooms_app(LobbyChannel))
    client, other = await Poller.open(base_url), await Poller.open(base_url)
    await client.send(["1", "1", "room:a", "phx_join", {}])
    await client.recv_many(3)
    await other.send(["1", "1", "room:b", "phx_join", {}])
    await other.recv_many(3)

    heard = await client.ask([None, "2", "room:a", "new_msg", {"body": "hi"}])
    unmatched = await client.ask([None, "12300", "room:b", "new_msg", {"body": "hi"}])

    assert heard == [None, None, "room:a", "new_msg", {"body": "hi"}]
    assert unmatched == [None, "12300", "room:b", "phx_reply", UNMATCHED]
    await other.fence()


async def test_a_message_without_join_ref_over_v1(serve: Serve) -> None:
    """§9.3.44 over V1: the same, in objects."""
    client = await Poller.open(await serve(rooms_app(LobbyChannel)), LP_V1)
    await client.post(json.dumps(V1_JOIN), "application/json")
    await client.recv_many(3)
    message = {"topic": "room:a", "event": "new_msg", "payload": {"body": "hi"}, "ref": "2"}

    await client.post(json.dumps(message), "application/json")
    heard = await client.recv()
    await client.post(json.dumps({**message, "topic": "room:x", "ref": "9"}), "application/json")
    unmatched = await client.recv()

    assert heard == {**message, "ref": None}
    assert unmatched == {
        "event": "phx_reply",
        "payload": UNMATCHED,
        "ref": "9",
        "topic": "room:x",
    }


async def test_the_101st_channel_is_refused(serve: Serve) -> None:
    """§9.3.39, §10.56, §10.66: with an error reply; the POST itself is 200."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    joins = [[str(n), str(n), f"room:{n}", "phx_join", {}] for n in range(1, 102)]
    await client.send(*joins[:100])
    await client.recv_many(100)

    refused = await client.ask(joins[100])

    reason = {"response": {"reason": "too many channels joined"}, "status": "error"}
    assert refused == ["101", "101", "room:101", "phx_reply", reason]


async def test_a_crash(serve: Serve) -> None:
    """§9.3.53, §10.26-27: phx_error arrives; its ref and join_ref are those of the join."""
    client = await Poller.open(await serve(rooms_app(RoomChannel)))
    await client.join("room:a", "123")

    crashed = await client.ask(["123", "2", "room:a", "crash", {}])

    assert crashed == ["123", "123", "room:a", "phx_error", CRASHED]


async def test_a_crash_over_v1(serve: Serve) -> None:
    """§9.3.53 over V1: phx_error has the join's join_ref as its ref."""
    client = await Poller.open(await serve(rooms_app(RoomChannel)), LP_V1)
    join = {**V1_JOIN, "join_ref": "123"}
    await client.post(json.dumps(join), "application/json")
    await client.recv()

    await client.post(json.dumps({**join, "event": "crash", "ref": "2"}), "application/json")

    crash = {"event": "phx_error", "payload": CRASHED, "ref": "123", "topic": "room:a"}
    assert await client.recv() == crash


async def test_leaving(serve: Serve) -> None:
    """§9.3.54: a leave with a stale join_ref is ignored, one without join_ref works."""
    client = await Poller.open(await serve(rooms_app(LobbyChannel)))
    await client.send(["1", "1", "room:a", "phx_join", {}])
    await client.recv_many(3)

    await client.send(["0", "2", "room:a", "phx_leave", {}], [None, "3", "room:a", "phx_leave", {}])

    assert await client.recv_many(2) == [LEFT, CLOSED]


async def test_leaving_over_v1(serve: Serve) -> None:
    """§9.3.54 over V1: phx_close has the join_ref of the join as its ref."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)), LP_V1)
    join = {**V1_JOIN, "join_ref": "1"}
    await client.post(json.dumps(join), "application/json")
    await client.recv()
    leave = {**V1_JOIN, "event": "phx_leave", "ref": "3"}

    await client.post(json.dumps({**leave, "join_ref": "0"}), "application/json")
    await client.post(json.dumps(leave), "application/json")

    assert await client.recv_many(2) == [
        {"event": "phx_reply", "payload": OK, "ref": "3", "topic": "room:a"},
        {"event": "phx_close", "payload": {}, "ref": "1", "topic": "room:a"},
    ]


async def test_a_heartbeat_is_answered(serve: Serve) -> None:
    """§5.7: long-poll clients need no heartbeats, but they get replies."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))

    assert await client.ask([None, 7, "phoenix", "heartbeat", {}]) == [
        *(None, 7, "phoenix", "phx_reply"),
        OK,
    ]


async def test_the_transport_has_its_name(serve: Serve) -> None:
    """The transport of a channel's socket is "longpoll"."""

    class NamingChannel(OpenChannel):
        @on("transport")
        def transport(self, payload: Any, socket: Socket) -> HandleResult:
            return ok(socket.transport)

    client = await Poller.open(await serve(rooms_app(NamingChannel)))
    await client.join()

    answer = await client.ask(["1", "2", "room:a", "transport", {}])

    assert answer[4] == replied("longpoll")


async def test_a_password_is_not_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """§9.3.52: the log of a join has its payload without the password."""
    caplog.set_level("INFO")
    client = await Poller.open(await serve(rooms_app(OpenChannel)))

    await client.join("room:a", "1", {"foo": "bar", "password": "shouldnotshow"})

    assert "JOINED room:a" in caplog.text
    assert "[FILTERED]" in caplog.text
    assert "shouldnotshow" not in caplog.text


async def test_events_of_the_socket_id_are_not_forwarded(serve: Serve) -> None:
    """§3.7, §10.72: only "disconnect" has an effect on the topic of a socket's id."""
    endpoint = Endpoint()
    base_url = await serve(rooms_app(OpenChannel, endpoint=endpoint))
    client = await Poller.open(base_url, LP_V2 + "&user=ann")

    endpoint.broadcast("user:ann", "hello", {})

    await client.fence()
