"""A client as the app has it: joins the tasks it posted, and comes back whenever it is cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

TERMINAL = frozenset({"completed", "failed"})

_RETRY_S = 0.05
_SOCKET = "/socket/websocket?vsn=2.0.0"


@dataclass(slots=True)
class Heard:
    """What one client heard of one task, over all its connections.

    Attributes:
        joins: how often the join was answered "ok".
        highest: the highest progress heard, 0.0 to 1.0.
        terminal: the payload of the terminal `progress`.
        endings: how many connections brought the terminal `progress`.
        rejoined_endings: how many of these were not the first connection.
    """

    joins: int = 0
    highest: float = 0.0
    terminal: Mapping[str, Any] | None = None
    endings: int = 0
    rejoined_endings: int = 0
    ended_on: int = field(default=-1, repr=False)


class Phone:
    """One websocket that is opened again and again, with a channel for each task.

    Attributes:
        heard: by task id.
        wrongs: what no client should ever hear, in words.
        is_done_with: after so many connections that brought a task's end, it is joined no more.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, is_done_with: int = 2) -> None:
        self.heard: dict[str, Heard] = {}
        self.wrongs: list[str] = []
        self._is_done_with = is_done_with
        self._http = http
        self._url = url
        self._connections = 0
        self._refs = 0
        self._joins: dict[str, str] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._news = asyncio.Event()

    async def watch(self, task_id: str) -> None:
        """Join a task's channel, now and after every reconnect."""
        if task_id not in self.heard:
            self.heard[task_id] = Heard()
            if self._socket is not None:
                await self._join(task_id)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                async with self._http.ws_connect(self._url + _SOCKET) as self._socket:
                    await self._talk(self._socket)
            except (aiohttp.ClientError, OSError):
                pass
            finally:
                self._socket = None
            await asyncio.sleep(_RETRY_S)

    async def all_ended(self) -> None:
        """Wait until the end of every watched task was heard."""
        while any(heard.terminal is None for heard in self.heard.values()):
            self._news.clear()
            await self._news.wait()

    @property
    def unfinished(self) -> list[str]:
        """The tasks whose end was not heard."""
        return [task_id for task_id, heard in self.heard.items() if heard.terminal is None]

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._connections += 1
        self._joins.clear()
        for task_id, heard in tuple(self.heard.items()):
            if heard.endings < self._is_done_with:
                await self._join(task_id)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._take(*json.loads(message.data))

    async def _join(self, task_id: str) -> None:
        self._refs += 1
        ref = str(self._refs)
        self._joins[ref] = task_id
        await self._send([ref, ref, f"task:{task_id}", "phx_join", {}])

    async def _send(self, message: list[Any]) -> None:
        try:
            if self._socket is not None:
                await self._socket.send_str(json.dumps(message))
        except (aiohttp.ClientError, OSError):
            pass  # The reader sees the end of the connection, and joins again on the next.

    async def _take(
        self, _join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any
    ) -> None:
        task_id = topic.removeprefix("task:")
        if event == "phx_reply" and ref in self._joins:
            await self._take_reply(task_id, payload)
        elif event == "progress":
            self._take_progress(task_id, payload)
            self._news.set()
        else:
            self.wrongs.append(f"{topic}: {event} {payload}")

    async def _take_reply(self, task_id: str, reply: Mapping[str, Any]) -> None:
        if reply["status"] == "ok":
            self.heard[task_id].joins += 1
        elif reply["response"] == {"reason": "unavailable"}:
            await self._join(task_id)
        else:
            self.wrongs.append(f"{task_id}: the join was refused, {reply}")

    def _take_progress(self, task_id: str, payload: Mapping[str, Any]) -> None:
        heard = self.heard[task_id]
        is_failed = payload["status"] == "failed"
        if heard.terminal is not None and payload != heard.terminal:
            self.wrongs.append(f"{task_id}: after {heard.terminal} came {payload}")
        elif payload["progress"] < heard.highest and not is_failed:
            self.wrongs.append(f"{task_id}: from {heard.highest} back to {payload['progress']}")
        heard.highest = max(heard.highest, payload["progress"])
        if payload["status"] in TERMINAL:
            heard.terminal = payload
            if heard.ended_on != self._connections:
                heard.ended_on = self._connections
                heard.endings += 1
                heard.rejoined_endings += heard.joins > 1
