"""A client that shows a text while it is written, as docs/tasks.md describes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from tests.patience import patient
from tests.wire import V1, V2, PhoenixWire

LIMIT_S = 30.0


class HoleError(AssertionError):
    """A part of the text is missing before this one."""


class ShownText:
    """The text as a client has it, and what it got.

    Attributes:
        texts: the text after each event.
        events: the payloads of `output`, in order.
        progress: the payloads of `progress`, in order.
    """

    def __init__(self) -> None:
        self.text = ""
        self.texts: list[str] = []
        self.events: list[Mapping[str, Any]] = []
        self.progress: list[Mapping[str, Any]] = []

    def take(self, event: str, payload: Mapping[str, Any]) -> None:
        """Read one event."""
        if event == "progress":
            self.progress.append(payload)
            return
        assert event == "output", event
        assert list(payload) == ["task_id", "seq", "text"]
        self.events.append(payload)
        part = units(payload["text"])
        start = payload["seq"] - len(part) // 2
        known = units(self.text)
        if start * 2 > len(known):
            raise HoleError(payload)
        self.text = (known[: start * 2] + part).decode("utf-16-le")
        self.texts.append(self.text)

    @property
    def result(self) -> str:
        """The text of the result."""
        assert self.progress[-1]["status"] == "completed", self.progress[-1]
        return str(self.progress[-1]["result_data"]["text"])

    @property
    def is_over(self) -> bool:
        """Whether the task has ended."""
        return bool(self.progress) and self.progress[-1]["status"] in {"completed", "failed"}


def units(text: str) -> bytes:
    """A text in UTF-16, which clients count in."""
    return text.encode("utf-16-le")


class TextClient:
    """A client of one task, which may leave and come back."""

    def __init__(self, url: str, task_id: str, *, is_v1: bool = False) -> None:
        self.shown = ShownText()
        self._url = url
        self._topic = f"task:{task_id}"
        self._is_v1 = is_v1
        self._wire: PhoenixWire | None = None

    async def join(self, wire: PhoenixWire | None = None) -> None:
        """Connect and join; whatever was shown stays."""
        if wire is None:
            wire = await PhoenixWire.open(self._url, V1 if self._is_v1 else V2)
        self._wire = wire
        if not self._is_v1:
            await wire.join(self._topic)
            return
        message = {"topic": self._topic, "event": "phx_join", "payload": {}, "ref": "1"}
        reply = await wire.ask(message)
        assert reply["payload"]["status"] == "ok"

    async def leave(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    async def read(self) -> None:
        """Read the next event."""
        assert self._wire is not None
        async with asyncio.timeout(patient(LIMIT_S)):
            frame = await self._wire.recv_frame(LIMIT_S)
        message = json.loads(frame.text)
        if self._is_v1:
            self.shown.take(message["event"], message["payload"])
        else:
            self.shown.take(message[3], message[4])

    async def until(self, chars: int) -> None:
        """Read until the text has this many characters, or the task has ended."""
        while len(self.shown.text) < chars and not self.shown.is_over:
            await self.read()

    async def to_the_end(self) -> ShownText:
        """Read until the task has ended, and leave."""
        while not self.shown.is_over:
            await self.read()
        await self.leave()
        return self.shown
