"""The events of a task for clients without websockets: server-sent events.

    GET /api/tasks/{id}/stream    200, text/event-stream: the present state, then each change
                                  204: the client has it all; 404; 429, 503: too many streams

    progress   a state before the last one      output   a part of a text, or early files
    result     it is completed                  error    it has failed

The data are those of the channel's events. The stream ends after `result` or `error`. A browser
then connects again, with `Last-Event-ID`, and 204 makes it stop. Each process answers for itself.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.http_server import when_gone
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.auth.visibility import Visibility, watched_owner
from phoenix_compat.server.backends.stream_position import Position
from phoenix_compat.server.backends.watched_task import WatchedTask
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.outputs import files_topic
from phoenix_compat.server.channel.socket_authentication import owner_topic
from phoenix_compat.server.http.authentication import principal_of
from phoenix_compat.server.http.base_url import base_url_of
from phoenix_compat.server.http.problem import FULL_RETRY_AFTER_S, ProblemError
from phoenix_compat.tasks.model.errors import TaskNotFoundError
from phoenix_compat.tasks.model.task_id import stored_spelling

HEARTBEAT_S: Final = 15.0
"""Proxies close what is silent for a minute."""
SEND_TIMEOUT_S: Final = 20.0
"""How long a client may take for a block; it must be shorter than `HttpBounds.send_s`."""
_BLOCK_BYTES: Final = 16 * 1024
_RETRY_MS: Final = (1_000, 3_000)
"""When browsers connect again, drawn for each stream, so that they do not all come at once."""
_PATH: Final = re.compile(r"/api/tasks/[^/]+/stream")
_HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect the events
}


def is_stream_path(path: str) -> bool:
    """Whether a request is for a stream, which every process serves itself."""
    return _PATH.fullmatch(path) is not None


@dataclass(slots=True)
class StreamCounts:
    """What has happened since the start.

    Attributes:
        open: streams that are open.
        opened: streams that were opened.
        refused: streams that were too many.
        slow_closed: streams whose clients did not take what they were sent.
    """

    open: int = 0
    opened: int = 0
    refused: int = 0
    slow_closed: int = 0


class TaskStreams:
    """The streams of one process.

    Args:
        max_streams: how many may be open; an owner may have half of them.
        closes_expired: whether a stream ends when its credential expires.

    Attributes:
        counts: see StreamCounts.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, and limits with defaults
        self,
        endpoint: Endpoint,
        feed: TaskFeed,
        *,
        visibility: Visibility = "owner",
        max_streams: int,
        closes_expired: bool = False,
        heartbeat_s: float = HEARTBEAT_S,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self.counts = StreamCounts()
        self._endpoint = endpoint
        self._feed = feed
        self._visibility: Visibility = visibility
        self._max_streams = max_streams
        self._closes_expired = closes_expired
        self._heartbeat_s = heartbeat_s
        self._send_timeout_s = send_timeout_s
        self._of_owners: Counter[str] = Counter()
        self._watched: set[WatchedTask] = set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send the events of a task until it has ended, or the client has gone."""
        sender = principal_of(request)
        sender.require(Scope.READ)
        with self._place(sender.owner):
            task_id = stored_spelling(request.match_info["task_id"])
            task = await self._feed.read(task_id, watched_owner(sender, self._visibility))
            if task is None:
                raise TaskNotFoundError(task_id)
            await self._feed.outputs.read(task)
            position = Position.of(request.headers.get("Last-Event-ID", ""))
            watched = WatchedTask(self._feed, task, base_url_of(request), position)
            if watched.has_everything():
                return web.Response(status=204)
            with self._subscribed(watched, task_id, sender):
                response = web.StreamResponse(headers=_HEADERS)
                await response.prepare(request)
                when_gone(request).add_done_callback(lambda _gone: watched.end())
                await self._send_all(request, response, watched, self._ends_at_s(sender))
            return response

    async def close(self, _app: object = None) -> None:
        """End all streams; their clients connect again."""
        for watched in tuple(self._watched):
            watched.end()

    @contextmanager
    def _place(self, owner: str) -> Iterator[None]:
        """Take one of the places for streams. Raises ProblemError."""
        headers: Mapping[str, str] = {hdrs.RETRY_AFTER: str(FULL_RETRY_AFTER_S)}
        if self.counts.open >= self._max_streams:
            self.counts.refused += 1
            detail = "Too many streams are open. Try again later, or poll the task."
            raise ProblemError(503, "too-many-streams", detail, headers=headers)
        if owner and self._of_owners[owner] >= max(1, self._max_streams // 2):
            self.counts.refused += 1
            detail = "You have too many open streams. Close some, or poll the task."
            raise ProblemError(429, "too-many-own-streams", detail, headers=headers)
        self.counts.open += 1
        self.counts.opened += 1
        self._of_owners[owner] += 1
        try:
            yield
        finally:
            self.counts.open -= 1
            self._of_owners[owner] -= 1
            if not self._of_owners[owner]:
                del self._of_owners[owner]

    @contextmanager
    def _subscribed(self, watched: WatchedTask, task_id: str, sender: Principal) -> Iterator[None]:
        topics = [f"task:{task_id}", files_topic(task_id)]
        topics += [owner_topic(owner) for owner in (sender.owner, sender.via) if owner]
        for topic in topics:
            self._endpoint.subscribe(topic, watched.notice)
        self._watched.add(watched)
        try:
            yield
        finally:
            self._watched.discard(watched)
            for topic in topics:
                self._endpoint.unsubscribe(topic, watched.notice)

    def _ends_at_s(self, sender: Principal) -> float | None:
        return sender.expires_at_s if self._closes_expired else None

    async def _send_all(
        self,
        request: web.Request,
        response: web.StreamResponse,
        watched: WatchedTask,
        ends_at_s: float | None,
    ) -> None:
        try:
            await self._send(response, f"retry: {random.randint(*_RETRY_MS)}\n\n".encode())  # noqa: S311 - no secret
            while not watched.is_ended:
                await self._send(response, watched.take() or b": heartbeat\n\n")
                if not watched.is_ended:
                    await self._wait(watched, ends_at_s)
        except TimeoutError:
            self.counts.slow_closed += 1
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the client has gone

    async def _wait(self, watched: WatchedTask, ends_at_s: float | None) -> None:
        """Wait for something to send, or for the next heartbeat."""
        left_s = self._heartbeat_s
        if ends_at_s is not None:
            left_s = min(left_s, ends_at_s - time.time())
        try:
            async with asyncio.timeout(left_s):
                await watched.news.wait()
        except TimeoutError:
            if ends_at_s is not None and time.time() >= ends_at_s:
                watched.end()

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        """Send data in blocks. Raises TimeoutError, ConnectionError."""
        for start in range(0, len(data), _BLOCK_BYTES):
            async with asyncio.timeout(self._send_timeout_s):
                await response.write(data[start : start + _BLOCK_BYTES])


STREAMS: Final = web.AppKey("streams", TaskStreams)
"""The key under which an application stores them."""


def add_stream_route(app: web.Application, streams: TaskStreams) -> None:
    """Mount the route on an app that has not started; the task API's middleware serves it too."""
    app[STREAMS] = streams
    # Not for HEAD, which would wait for the end of the task.
    app.router.add_get("/api/tasks/{task_id}/stream", streams.stream, allow_head=False)
    app.on_shutdown.append(streams.close)
