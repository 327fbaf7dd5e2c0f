"""The long-poll transport against a server that answers by a script."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.client import Client, ClientLimits, ConnectError
from tests.conftest import Serve
from tests.integration.client.waiting import Seen, until
from tests.patience import patient

Answer = dict[str, Any] | web.Response


class Script:
    """A long-poll server: each session gets the answers of the test, then waits.

    Attributes:
        sessions: the number of sessions that were begun.
        polls: the query of each poll.
        posts: the content type and the lines of each POST.
    """

    def __init__(self) -> None:
        self.sessions = 0
        self.polls: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.posts: list[tuple[str, list[str]]] = []
        self.answers: asyncio.Queue[Answer] = asyncio.Queue()
        self.post_status = 200
        self.first: Answer | None = None
        self.may_answer_posts = asyncio.Event()
        self.may_answer_posts.set()

    async def poll(self, request: web.Request) -> web.Response:
        """Answer a poll."""
        self.polls.append(dict(request.query))
        self.headers.append(dict(request.headers))
        if request.query.get("token") != f"t{self.sessions}":
            self.sessions += 1
            document = {"status": 410, "token": f"t{self.sessions}", "messages": []}
            answer = self.first or document
        else:
            answer = await self.answers.get()
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    async def post(self, request: web.Request) -> web.Response:
        """Take messages."""
        text = await request.text()
        self.posts.append((request.headers["Content-Type"], text.split("\n")))
        await self.may_answer_posts.wait()
        return web.json_response({"status": self.post_status})

    def message(self, *messages: Any) -> None:
        """Answer a poll with messages."""
        texts = [one if isinstance(one, str) else json.dumps(one) for one in messages]
        token = f"t{self.sessions}"
        self.answers.put_nowait({"status": 200, "token": token, "messages": texts})


@pytest.fixture
def script() -> Script:
    """A script without answers."""
    return Script()


@pytest.fixture
async def url(script: Script, serve: Serve) -> AsyncIterator[str]:
    """The URL of the scripted server."""
    app = web.Application()
    app.router.add_get("/socket/longpoll", script.poll)
    app.router.add_post("/socket/longpoll", script.post)
    yield await serve(app) + "/socket"
    script.may_answer_posts.set()
    for _ in range(10):
        script.answers.put_nowait({"status": 204, "token": "", "messages": []})


def client_of(url: str, **options: Any) -> Client:
    """A long-poll client that reconnects quickly."""
    return Client(url, transport="longpoll", reconnect_after_s=(0.01,), **options)


async def accepted(script: Script, client: Client, topic: str = "room:a") -> Any:
    """A joined channel."""
    channel = client.channel(topic)
    joining = asyncio.ensure_future(channel.join())
    posts = len(script.posts)
    await until(lambda: len(script.posts) > posts)
    _join_ref, ref, *_ = json.loads(script.posts[-1][1][-1])
    reply = {"status": "ok", "response": {}}
    script.message([ref, ref, topic, "phx_reply", reply])
    await joining
    return channel


async def test_requests(script: Script, url: str) -> None:
    """The token of the session, the auth token, and the params are those of phoenix.js."""
    options = {"params": {"a": "b"}, "auth_token": "secret"}
    async with client_of(url, **options) as client:
        await accepted(script, client)

    assert script.polls[:2] == [
        {"a": "b", "vsn": "2.0.0"},
        {"a": "b", "vsn": "2.0.0", "token": "t1"},
    ]
    assert script.headers[0]["X-Phoenix-AuthToken"] == "secret"
    assert script.headers[0]["Accept"] == "application/json"


async def test_batches(script: Script, url: str) -> None:
    """One POST at a time, with at most 100 messages; bytes are base64."""
    async with client_of(url) as client:
        channel = await accepted(script, client)
        script.may_answer_posts.clear()
        channel.push_nowait("first")
        await until(lambda: len(script.posts) == 2)
        for n in range(150):
            channel.push_nowait("msg", {"n": n})
        channel.push_nowait("bytes", b"\x00\xff")
        in_flight = len(script.posts)
        script.may_answer_posts.set()
        await until(lambda: len(script.posts) == 4)

    sizes = [len(lines) for _type, lines in script.posts]
    numbers = [
        json.loads(line)[4]["n"]
        for _type, lines in script.posts[2:]
        for line in lines[:100]
        if line.startswith("[")
    ]
    assert in_flight == 2
    assert sizes == [1, 1, 100, 51]
    assert numbers == list(range(150))
    assert {kind for kind, _lines in script.posts} == {"application/x-ndjson"}
    assert base64.b64decode(script.posts[-1][1][-1]).endswith(b"\x00\xff")


async def test_posts_of_v1(script: Script, url: str) -> None:
    """Each has one message."""
    async with client_of(url, vsn="1.0.0") as client:
        joins = [asyncio.ensure_future(client.channel(topic).join()) for topic in ("a", "b")]
        await until(lambda: len(script.posts) == 2)
        for join in joins:
            join.cancel()
        await asyncio.wait(joins)

    posted = [(kind, [json.loads(line)["topic"] for line in lines]) for kind, lines in script.posts]
    assert posted[:2] == [("application/json", ["a"]), ("application/json", ["b"])]


async def test_messages_in_one_answer(script: Script, url: str) -> None:
    """They come in order; a binary frame that is UTF-8 is read, too."""
    async with client_of(url) as client:
        channel = await accepted(script, client)
        ref = channel.join_ref
        binary = f"\x00\x01\x06\x03{ref}room:abinü"
        script.message(*([None, None, "room:a", "msg", {"n": n}] for n in range(3)), binary)

        messages = [await anext(channel) for _ in range(4)]

    assert [one.payload for one in messages] == [{"n": 0}, {"n": 1}, {"n": 2}, "ü".encode()]
    assert messages[-1].event == "bin"


ENDS: list[tuple[Answer, int]] = [
    ({"status": 410, "token": "other", "messages": []}, 3410),
    ({"status": 403}, 1011),
    ({"status": 500}, 1011),
    (web.Response(status=502, text="<html>bad gateway</html>"), 1011),
    (web.Response(text="nonsense"), 1011),
    (web.Response(text="[]"), 1011),
    (web.Response(body=b"x" * 30_000), 1011),
]


@pytest.mark.parametrize(("answer", "code"), ENDS, ids=str)
async def test_the_end_of_a_session(script: Script, url: str, answer: Answer, code: int) -> None:
    """The client begins another session and joins again."""
    async with client_of(url, limits=ClientLimits(max_message_bytes=10_000)) as client:
        channel = await accepted(script, client)
        closes, posts = Seen(client.on_close), len(script.posts)
        script.answers.put_nowait(answer)
        await until(lambda: len(script.posts) > posts)

        assert closes.values[0][0] == code
        assert script.sessions == 2
        assert not channel.is_joined


async def test_a_post_that_fails(script: Script, url: str) -> None:
    """The poll that waits is given up, and another session begins."""
    async with client_of(url) as client:
        channel = await accepted(script, client)
        closes = Seen(client.on_close)
        script.post_status = 408
        channel.push_nowait("x")
        await closes.wait_for(1)
        script.post_status = 200
        await until(lambda: script.sessions == 2)

    assert closes.values[0] == (1011, "a POST got status 408")


async def test_a_poll_without_an_answer(script: Script, url: str) -> None:
    """After the time limit another session begins."""
    async with client_of(url, poll_timeout_s=patient(0.1)) as client:
        closes = Seen(client.on_close)
        await closes.wait_for(1)
        await until(lambda: script.sessions == 2)

    assert closes.values[0] == (1005, "a long-poll request timed out")


@pytest.mark.parametrize(
    ("first", "status"),
    [({"status": 403}, 403), (web.Response(status=503), 503), ({"status": 410}, 410)],
    ids=str,
)
async def test_a_refused_session(script: Script, url: str, first: Answer, status: int) -> None:
    """The error has the status."""
    script.first = first

    with pytest.raises(ConnectError) as raised:
        async with client_of(url):
            pass

    assert raised.value.status == status
