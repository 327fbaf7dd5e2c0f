"""A client like the app's: it joins the channels of its tasks and reconnects when cut off."""

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
class ReceivedProgress:
    """What a client has received about one task, over all its connections.

    Attributes:
        joins: how often the join was answered with "ok".
        highest: the highest progress, 0.0 to 1.0.
        terminal: the payload of the terminal `progress`.
        endings: on how many connections the terminal `progress` arrived.
        rejoined_endings: on how many of these the task had been joined before.
        outputs: events with a part of its text.
        text: the text since the last join, as the parts make it.
    """

    joins: int = 0
    highest: float = 0.0
    terminal: Mapping[str, Any] | None = None
    endings: int = 0
    rejoined_endings: int = 0
    outputs: int = 0
    text: str = ""
    ended_on: int = field(default=-1, repr=False)


class AppClient:
    """A websocket that reconnects, with a channel for each task.

    Attributes:
        received: what was received, by task id.
        violations: messages that a client must never receive.
        max_endings: a task is not joined again when its end has arrived on this many connections.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, max_endings: int = 2) -> None:
        self.received: dict[str, ReceivedProgress] = {}
        self.violations: list[str] = []
        self._max_endings = max_endings
        self._http = http
        self._url = url
        self._connections = 0
        self._refs = 0
        self._joins: dict[str, str] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._progress_received = asyncio.Event()

    async def watch(self, task_id: str) -> None:
        """Join a task's channel, now and after every reconnect."""
        if task_id not in self.received:
            self.received[task_id] = ReceivedProgress()
            if self._socket is not None:
                await self._join(task_id)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                async with self._http.ws_connect(self._url + _SOCKET) as self._socket:
                    await self._receive(self._socket)
            except (aiohttp.ClientError, OSError):
                pass
            finally:
                self._socket = None
            await asyncio.sleep(_RETRY_S)

    async def all_ended(self) -> None:
        """Wait until the end of every watched task has been received."""
        while any(received.terminal is None for received in self.received.values()):
            self._progress_received.clear()
            await self._progress_received.wait()

    @property
    def unfinished(self) -> list[str]:
        """The ids of the tasks whose end has not been received."""
        return [task_id for task_id, received in self.received.items() if received.terminal is None]

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._connections += 1
        self._joins.clear()
        for task_id, received in tuple(self.received.items()):
            if received.endings < self._max_endings:
                await self._join(task_id)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._handle(*json.loads(message.data))

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
            pass  # The reader notices the closed connection; the next one joins again.

    async def _handle(
        self, _join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any
    ) -> None:
        task_id = topic.removeprefix("task:")
        if event == "phx_reply" and ref in self._joins:
            await self._handle_reply(task_id, payload)
        elif event == "progress":
            self._handle_progress(task_id, payload)
            self._progress_received.set()
        elif event == "output":
            self._handle_output(task_id, payload)
        else:
            self.violations.append(f"{topic}: {event} {payload}")

    async def _handle_reply(self, task_id: str, reply: Mapping[str, Any]) -> None:
        if reply["status"] == "ok":
            self.received[task_id].joins += 1
            self.received[task_id].text = ""
        elif reply["response"] == {"reason": "unavailable"}:
            await self._join(task_id)
        else:
            self.violations.append(f"{task_id}: the join was refused, {reply}")

    def _handle_progress(self, task_id: str, payload: Mapping[str, Any]) -> None:
        received = self.received[task_id]
        is_failed = payload["status"] == "failed"
        if received.terminal is not None and payload != received.terminal:
            self.violations.append(f"{task_id}: after {received.terminal} came {payload}")
        elif payload["progress"] < received.highest and not is_failed:
            self.violations.append(
                f"{task_id}: from {received.highest} back to {payload['progress']}"
            )
        received.highest = max(received.highest, payload["progress"])
        if payload["status"] in TERMINAL:
            received.terminal = payload
            if received.ended_on != self._connections:
                received.ended_on = self._connections
                received.endings += 1
                received.rejoined_endings += received.joins > 1

    def _handle_output(self, task_id: str, payload: Mapping[str, Any]) -> None:
        received = self.received[task_id]
        start = payload["seq"] - len(payload["text"])
        if start > len(received.text):
            self.violations.append(f"{task_id}: a part of its text is missing at {start}")
        received.text = received.text[:start] + payload["text"]
        received.outputs += 1
