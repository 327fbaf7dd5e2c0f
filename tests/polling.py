"""A long-poll client for tests; it makes one request at a time and returns the response."""

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
from tests.serving import EventLog, accepting

LP_V1 = "/socket/longpoll?vsn=1.0.0"
LP_V2 = "/socket/longpoll?vsn=2.0.0"
NDJSON = "application/x-ndjson"

SHORT = LongPollOptions(window_s=0.3)
"""For tests in which a window passes; elsewhere it is long, so that slowness is no failure."""

_TIMEOUT_S = 10.0
_OWN_TOKEN = ""


def longpoll_app(
    handler: type[SocketHandler],
    longpoll: LongPollOptions | bool = True,
    *,
    path: str = "/socket",
    endpoint: Endpoint | None = None,
    **options: Any,
) -> web.Application:
    """An application with one socket, over long-polling and websocket."""
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
    """An application that accepts everyone and has this channel on `room:*`."""
    return longpoll_app(accepting({"room:*": channel}), longpoll, endpoint=endpoint)


def record_requests(app: web.Application) -> EventLog:
    """A event_log of the methods of the requests as they come.

    By the time a GET is read there, its poll waits: it does all else without waiting.
    """
    event_log = EventLog()

    @web.middleware
    async def noting(request: web.Request, handler: Any) -> Any:
        event_log.record(request.method)
        return await handler(request)

    app.middlewares.append(noting)
    return event_log


async def waiting_poll(client: Poller, seen: EventLog) -> asyncio.Task[Any]:
    """Start a poll and return when it waits in the server; see `record_requests`."""
    while not seen.is_empty:
        await seen.next()
    poll = asyncio.create_task(client.poll())
    assert await seen.next() == "GET"
    return poll


class PollResponse(NamedTuple):
    """An HTTP response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON body, which contains the real status; the HTTP status must be 200."""
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
        """Create a session; the response must be immediate and have a new token."""
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
    ) -> PollResponse:
        """Make a request with the session's token, another token or none."""
        token = self.token if token == _OWN_TOKEN else token
        url = f"{self.url}&" if token is None else f"{self.url}&token={token}"
        data = None if body is None else io.BytesIO(body)
        async with (
            asyncio.timeout(patient(_TIMEOUT_S)),
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
            session.request(method, URL(url, encoded=True), data=data, headers=headers) as response,
        ):
            return PollResponse(response.status, response.headers, await response.read())

    async def get(
        self, headers: Mapping[str, str] | None = None, token: str | None = _OWN_TOKEN
    ) -> PollResponse:
        """Poll and return the whole response."""
        return await self.request("GET", headers=headers, token=token)

    async def poll(self) -> Any:
        """Poll and return the JSON body."""
        return (await self.get()).json

    async def post(
        self, body: str | bytes, content_type: str = NDJSON, token: str | None = _OWN_TOKEN
    ) -> PollResponse:
        """Post a body and return the whole response."""
        data = body if isinstance(body, bytes) else body.encode()
        return await self.request("POST", data, {"Content-Type": content_type}, token)

    async def publish(self, *messages: Any) -> Any:
        """Post messages as one NDJSON batch and return the JSON body."""
        return (await self.post("\n".join(compact_json(message) for message in messages))).json

    async def send(self, *messages: Any) -> None:
        """Post messages; the server must accept them."""
        assert await self.publish(*messages) == {"status": 200}

    async def recv_some(self) -> list[Any]:
        """The messages of the next poll, which must have some."""
        answer = await self.poll()
        assert answer["status"] == 200, answer
        assert answer["token"] == self.token
        return [json.loads(text) for text in answer["messages"]]

    async def recv_many(self, count: int) -> list[Any]:
        """The next messages; there must be exactly `count` after the last poll."""
        messages: list[Any] = []
        while len(messages) < count:
            messages += await self.recv_some()
        assert len(messages) == count, messages
        return messages

    async def recv(self) -> Any:
        """The next message."""
        return (await self.recv_many(1))[0]

    async def ask(self, message: Any) -> Any:
        """Post a message and return the next message, which must be the only one."""
        await self.send(message)
        return await self.recv()

    async def join(self, topic: str = "room:a", join_ref: str = "1", payload: Any = None) -> None:
        """Join a topic over V2; the only next message must be the ok reply."""
        reply = await self.ask([join_ref, join_ref, topic, "phx_join", payload or {}])
        assert reply[:4] == [join_ref, join_ref, topic, "phx_reply"]
        assert reply[4]["status"] == "ok", reply

    async def fence(self) -> None:
        """Show over V2 that no other message waits: only a heartbeat reply may be next."""
        reply = await self.ask([None, "fence", "phoenix", "heartbeat", {}])
        assert reply[:4] == [None, "fence", "phoenix", "phx_reply"], reply

    async def is_gone(self) -> bool:
        """Whether the session has ended; a POST over V2 shows it without creating a new session."""
        answer = await self.publish(BEAT)
        assert answer in ({"status": 200}, {"status": 410})
        return bool(answer["status"] == 410)


BEAT: list[Any] = [None, "beat", "phoenix", "heartbeat", {}]
"""A heartbeat over V2."""


class HeaderPoller(Poller):
    """The same as phoenix.js 1.9 has it: the token goes in a header, and the URL never changes.

    Source: phoenix 1.9-dev (167c469), assets/js/phoenix/longpoll.js, ajax.
    """

    async def request(
        self,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        token: str | None = _OWN_TOKEN,
    ) -> PollResponse:
        """Make a request with the session's token, another token or none."""
        token = self.token if token == _OWN_TOKEN else token
        added = {} if token is None else {"X-Phoenix-Longpoll-Token": token}
        return await super().request(method, body, {**dict(headers or {}), **added}, token=None)
