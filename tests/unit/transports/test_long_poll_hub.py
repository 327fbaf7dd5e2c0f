"""Long-polling as a function from requests to responses."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import pytest

from phoenix_compat import (
    Channel,
    HandleResult,
    LongPollOptions,
    Result,
    Socket,
    SocketHandler,
    ok,
    on,
)
from tests.patience import patient
from tests.serving import accepting
from tests.unit.runtime.harness import settle
from tests.unit.transports.hubs import JSON_HEADERS, FakeClient, LongPoll, a_request

TOO_LATE_S = 0.02
"""A window that a test waits for."""


class RoomChannel(Channel):
    """Answers; the join of `room:slow` waits for `go_on` of the route."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        if topic == "room:slow":
            await socket.assigns["go_on"].wait()
        return ok()

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("push")
    def push(self, payload: Any, socket: Socket) -> None:
        socket.push("bytes", b"\xff")


def a_server(go_on: asyncio.Event | None = None, **options: Any) -> LongPoll:
    """A server of rooms."""
    routes = {"room:*": (RoomChannel, {"go_on": go_on})}
    return LongPoll(accepting(routes), LongPollOptions(**options))


async def joined(server: LongPoll, topic: str = "room:a") -> str:
    """Begin a session and join; the token."""
    token = await server.open()
    assert await server.post(token, "1", "1", topic, "phx_join", {}) == {"status": 200}
    assert len((await server.poll(token))["messages"]) == 1
    return token


async def test_a_conversation() -> None:
    """A session, a join and a message; each response is JSON that is not stored."""
    server = a_server()

    token = await server.open()
    posted = await server.post(token, "1", "1", "room:a", "phx_join", {})
    status, polled, response = await server.ask(token=token)

    assert posted == {"status": 200}
    reply = ["1", "1", "room:a", "phx_reply", {"response": {}, "status": "ok"}]
    assert (status, polled["status"], polled["token"]) == (200, 200, token)
    assert [json.loads(message) for message in polled["messages"]] == [reply]
    assert response.headers == JSON_HEADERS
    assert len(server.hub) == 1


async def test_a_poll_waits_for_a_message() -> None:
    """It is answered when there is one; without one with 204 after the window."""
    server = a_server(window_s=patient(5.0))
    token = await joined(server)

    poll = asyncio.create_task(server.poll(token))
    await settle()
    await server.post(token, "1", "2", "room:a", "echo", {"n": 1})
    polled = await poll

    assert polled["status"] == 200
    assert len(polled["messages"]) == 1
    assert not server.hub.polls


async def test_a_poll_without_messages() -> None:
    """It is answered with 204 after the window."""
    server = a_server(window_s=TOO_LATE_S)
    token = await server.open()

    polled = await server.poll(token)

    assert polled == {"messages": [], "status": 204, "token": token}
    assert not server.hub.polls


async def test_the_newest_poll_gets_the_messages() -> None:
    """The one before gets none."""
    server = a_server(window_s=TOO_LATE_S * 5)
    token = await joined(server)

    first = asyncio.create_task(server.poll(token))
    await settle()
    second = asyncio.create_task(server.poll(token))
    await settle()
    await server.post(token, "1", "2", "room:a", "echo", {"n": 1})

    assert len((await second)["messages"]) == 1
    assert (await first)["messages"] == []


async def test_a_client_that_is_gone_takes_nothing() -> None:
    """The next poll gets its messages, whether they came before or during its own."""
    server = a_server(window_s=TOO_LATE_S * 5)
    token = await joined(server)
    gone = FakeClient()

    during = asyncio.create_task(server.poll(token, client=gone))
    await settle()
    gone.is_gone = True
    await server.post(token, "1", "2", "room:a", "echo", {"n": 1})
    await during
    before = await server.poll(token, client=FakeClient(is_gone=True))

    assert before["messages"] == []
    assert len((await server.poll(token))["messages"]) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
async def test_another_method(method: str) -> None:
    """It is a bad request, also for pages of other origins."""
    status, _, response = await a_server().ask(method)

    assert status == 400
    assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_preflight() -> None:
    """It allows the headers that the page asks for."""
    status, _, response = await a_server().ask(
        "OPTIONS", Access_Control_Request_Headers="x-phoenix-longpoll-token"
    )

    assert status == 200
    assert response.headers["Access-Control-Allow-Headers"] == "x-phoenix-longpoll-token"
    assert response.headers["Access-Control-Allow-Methods"] == "get, post, options"
    assert response.headers["Access-Control-Max-Age"] == "3600"


async def test_a_query_that_is_not_utf_8() -> None:
    """It is a bad request, and the text says why."""
    server = a_server()

    refused = await server.hub.handle(a_request(query="a=%ff"), {}, FakeClient())

    assert refused.status == 400
    assert b"UTF-8" in refused.body


async def test_a_page_of_another_origin() -> None:
    """It is refused in the body."""
    refused = (await a_server().ask(Origin="http://elsewhere.example"))[1]
    allowed = (await a_server().ask(Origin="http://localhost"))[1]

    assert refused == {"status": 403}
    assert allowed["status"] == 410


@pytest.mark.parametrize("token", [None, "", "no token", "x" * 1_025])
async def test_a_post_without_a_session(token: str | None) -> None:
    """It is answered with 410 in the body."""
    assert await a_server().post(token, "1", "1", "room:a", "phx_join", {}) == {"status": 410}


async def test_the_token_may_be_in_the_query() -> None:
    """As phoenix.js up to 1.8 sends it; a list is not one."""
    server = a_server(window_s=TOO_LATE_S)
    token = await server.open()

    for query, status in ((f"vsn=2.0.0&token={token}", 204), (f"vsn=2.0.0&token[]={token}", 410)):
        response = await server.hub.handle(a_request(query=query), {}, FakeClient())
        assert json.loads(response.body)["status"] == status


async def test_a_batch() -> None:
    """Lines of JSON and of base64, up to the limit; each is handled in order."""
    server = a_server(max_batch_messages=3)
    token = await joined(server)
    push = b"\x00\x01\x01\x06\x04" + b"12room:aecho" + b"bytes"
    lines = [
        b'["1","3","room:a","echo",{"n":3}]\r',
        base64.b64encode(push),
        b'["1","4","room:a","echo",{"n":4}]',
        b'["1","5","room:a","echo",{"n":5}]',
    ]

    posted = await server.ask("POST", token, b"\n".join(lines), Content_Type="application/x-ndjson")
    messages = (await server.poll(token))["messages"]

    assert posted[1] == {"status": 200}
    assert [json.loads(each)[1] for each in messages if each.startswith("[")] == ["3", "4"]
    assert len(messages) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[1", 408), (b"?", 500), (b"[]" * 200, 400)],
    ids=["JSON", "base64", "long"],
)
async def test_a_bad_batch(body: bytes, status: int) -> None:
    """An unreadable message ends the session; what is not base64 is a failure."""
    server = a_server(max_body_bytes=300, window_s=TOO_LATE_S)
    token = await joined(server)

    got, answer, response = await server.ask(
        "POST", token, body, Content_Type="application/x-ndjson"
    )

    assert (answer["status"] if answer else got) == status
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert len(server.hub) == (0 if status == 408 else 1)


async def test_bytes_that_are_not_text(caplog: pytest.LogCaptureFixture) -> None:
    """A response cannot carry them; the line says so."""
    server = a_server()
    token = await joined(server)
    await server.post(token, "1", "2", "room:a", "push", {})

    status, _, response = await server.ask(token=token)

    assert status == 500
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_message_behind_a_join_that_waits() -> None:
    """It is answered with 408 after the window, and handled after the join."""
    go_on = asyncio.Event()
    server = a_server(go_on, window_s=TOO_LATE_S)
    token = await server.open()

    first = await server.post(token, "1", "1", "room:slow", "phx_join", {})
    second = await server.post(token, None, "2", "phoenix", "heartbeat", {})
    go_on.set()
    await settle()

    assert (first, second) == ({"status": 408}, {"status": 408})
    assert [json.loads(each)[1] for each in (await server.poll(token))["messages"]] == ["1", "2"]


async def test_the_end_of_the_server() -> None:
    """Messages behind a join get 410 at once, polls what they have; each session counts once."""
    go_on = asyncio.Event()
    server = a_server(go_on, window_s=patient(5.0))
    slow, idle, other = await server.open(), await server.open(), await joined(server)
    posts = [
        asyncio.create_task(server.post(slow, "1", "1", "room:slow", "phx_join", {})),
        asyncio.create_task(server.post(slow, None, "2", "phoenix", "heartbeat", {})),
    ]
    poll = asyncio.create_task(server.poll(idle))
    await settle()

    await server.hub.drain()
    sessions = (len(server.hub), server.endpoint.counters.drained)
    server.hub.close_all()
    go_on.set()

    assert sessions == (1, 2)
    assert (await posts[1]) == {"status": 410}
    assert (await posts[0]) == {"status": 200}
    assert (await poll)["messages"] == []
    assert (len(server.hub), server.endpoint.counters.drained) == (0, 3)
    assert (await server.post(other, "1", "9", "room:a", "echo", {})) == {"status": 410}
    server.hub.abort_all()


async def test_sessions_without_a_poll_are_counted_and_end() -> None:
    """One timer serves all; the last session ends it."""
    server = a_server(window_s=10.0)
    for _ in range(2):
        await server.open()
    fresh = await server.open()
    sessions = list(server.hub._own)
    for session in sessions:
        if session.token != fresh:
            session.polled_at_s -= 15.5

    server.hub._sweep()
    timers = [server.hub._timer]
    assert (len(server.hub), server.endpoint.counters.idle_closed) == (1, 2)
    for session in server.hub._own:
        session.polled_at_s -= 15.5
    server.hub._sweep()
    timers.append(server.hub._timer)

    assert (len(server.hub), server.endpoint.counters.idle_closed) == (0, 3)
    assert timers[0] is not None
    assert timers[1] is None
    timers[0].cancel()


@pytest.mark.parametrize(
    ("has_token", "header"), [(True, "secret"), (True, None), (False, "secret")]
)
async def test_the_auth_token(has_token: bool, header: str | None) -> None:
    """It comes in a header, and is an entry of `connect_info`, if the socket has one."""
    seen: list[Any] = []

    class UserSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            seen.append({name: connect_info[name] for name in connect_info if name == "auth_token"})
            return ok()

    server = LongPoll(UserSocket, auth_token=has_token)
    headers: dict[str, Any] = {} if header is None else {"X_Phoenix_AuthToken": header}

    await server.ask(**headers)

    assert seen == [{"auth_token": header} if has_token else {}]
    server.hub.abort_all()


async def test_an_endpoint_that_is_closing_begins_no_session() -> None:
    """It is answered with 403 in the body."""
    server = a_server()
    await server.endpoint.close(server.hub)

    assert (await server.ask())[1] == {"status": 403}
    assert len(server.hub) == 0
