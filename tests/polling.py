"""A long-poll client for tests, close to HTTP: it makes one request and shows what came."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy
from yarl import URL

from phoenix_compat import Channel, Endpoint, LongPollOptions, SocketHandler, mount
from phoenix_compat.conformance.suite.cases import compact_json
from tests.patience import patient
from tests.serving import Diary, accepting

LP_V1 = "/socket/longpoll?vsn=1.0.0"
LP_V2 = "/socket/longpoll?vsn=2.0.0"
NDJSON = "application/x-ndjson"

SHORT = LongPollOptions(window_s=0.3)
"""For tests in which a window passes; elsewhere it is long, so that slowness is no failure."""

_PATIENCE_S = 10.0
_OWN_TOKEN = ""


def longpoll_app(
    handler: type[SocketHandler],
    longpoll: LongPollOptions | bool = True,
    *,
    path: str = "/socket",
    endpoint: Endpoint | None = None,
    **options: Any,
) -> web.Application:
    """An application with one socket, over long-polling and websocket; options as of the mount."""
    endpoint = endpoint or Endpoint()
    endpoint.socket(path, handler, longpoll=longpoll, **options)
    app = web.Application()
    mount(app, endpoint)
    return app


def rooms_app(
    channel: type[Channel],
    longpoll: LongPollOptions | bool = True,
    *,
    endpoint: Endpoint | None = None,
) -> web.Application:
    """An application that lets everyone in, with this channel on `room:*`."""
    return longpoll_app(accepting({"room:*": channel}), longpoll, endpoint=endpoint)


def watch(app: web.Application) -> Diary:
    """A diary of the methods of the requests as they come.

    By the time a GET is read there, its poll waits: it does all else without waiting.
    """
    diary = Diary()

    @web.middleware
    async def noting(request: web.Request, handler: Any) -> Any:
        diary.note(request.method)
        return await handler(request)

    app.middlewares.append(noting)
    return diary


async def waiting_poll(client: Poller, seen: Diary) -> asyncio.Task[Any]:
    """Begin a poll, and go on when it waits in the server; see `watch`."""
    while not seen.is_empty:
        await seen.next()
    poll = asyncio.create_task(client.poll())
    assert await seen.next() == "GET"
    return poll


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON that says what really happened; the answer must be 200."""
        assert self.status == 200, self
        return json.loads(self.body)


class Poller:
    """One long-poll session, as phoenix.js has it: the token goes with the query.

    Each request has a connection of its own, so that nothing has to be closed in the end.
    """

    def __init__(self, base_url: str, target: str = LP_V2) -> None:
        self.url = base_url + target
        self.token: str | None = None

    @classmethod
    async def open(
        cls, base_url: str, target: str = LP_V2, headers: Mapping[str, str] | None = None
    ) -> Self:
        """Create a session, which must be granted at once, with a new token."""
        poller = cls(base_url, target)
        answer = (await poller.get(headers=headers)).json
        assert answer.keys() == {"messages", "status", "token"}
        assert (answer["status"], answer["messages"]) == (410, [])
        poller.token = answer["token"]
        return poller

    async def request(
        self,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        token: str | None = _OWN_TOKEN,
    ) -> Answer:
        """Make a request, with the session's own token unless another or none is given."""
        token = self.token if token == _OWN_TOKEN else token
        url = f"{self.url}&" if token is None else f"{self.url}&token={token}"
        data = None if body is None else io.BytesIO(body)
        async with (
            asyncio.timeout(patient(_PATIENCE_S)),
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
            session.request(method, URL(url, encoded=True), data=data, headers=headers) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def get(
        self, headers: Mapping[str, str] | None = None, token: str | None = _OWN_TOKEN
    ) -> Answer:
        """Poll, and show the whole answer."""
        return await self.request("GET", headers=headers, token=token)

    async def poll(self) -> Any:
        """Poll: what the answer says."""
        return (await self.get()).json

    async def post(
        self, body: str | bytes, content_type: str = NDJSON, token: str | None = _OWN_TOKEN
    ) -> Answer:
        """Post a body as it is, and show the whole answer."""
        data = body if isinstance(body, bytes) else body.encode()
        return await self.request("POST", data, {"Content-Type": content_type}, token)

    async def publish(self, *messages: Any) -> Any:
        """Post messages as one batch of lines: what the answer says."""
        return (await self.post("\n".join(compact_json(message) for message in messages))).json

    async def send(self, *messages: Any) -> None:
        """Post messages, which must be taken."""
        assert await self.publish(*messages) == {"status": 200}

    async def recv_some(self) -> list[Any]:
        """The JSON of what the next poll brings, which must be something."""
        answer = await self.poll()
        assert answer["status"] == 200, answer
        assert answer["token"] == self.token
        return [json.loads(text) for text in answer["messages"]]

    async def recv_many(self, count: int) -> list[Any]:
        """The JSON of the next messages; there must be so many, and no more with the last poll."""
        messages: list[Any] = []
        while len(messages) < count:
            messages += await self.recv_some()
        assert len(messages) == count, messages
        return messages

    async def recv(self) -> Any:
        """The JSON of the next message."""
        return (await self.recv_many(1))[0]

    async def ask(self, message: Any) -> Any:
        """Post a message and take the next, which must be the only one."""
        await self.send(message)
        return await self.recv()

    async def join(self, topic: str = "room:a", join_ref: str = "1", payload: Any = None) -> None:
        """Join a topic over V2; the next message must accept it, and be the only one."""
        reply = await self.ask([join_ref, join_ref, topic, "phx_join", payload or {}])
        assert reply[:4] == [join_ref, join_ref, topic, "phx_reply"]
        assert reply[4]["status"] == "ok", reply

    async def fence(self) -> None:
        """Show over V2 that nothing more waits: a heartbeat is answered next, alone."""
        reply = await self.ask([None, "fence", "phoenix", "heartbeat", {}])
        assert reply[:4] == [None, "fence", "phoenix", "phx_reply"], reply

    async def is_gone(self) -> bool:
        """Whether the session is over, which a POST over V2 tells without making a new one."""
        answer = await self.publish(BEAT)
        assert answer in ({"status": 200}, {"status": 410})
        return bool(answer["status"] == 410)


BEAT: list[Any] = [None, "beat", "phoenix", "heartbeat", {}]
"""A heartbeat over V2."""
