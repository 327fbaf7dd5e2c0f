"""A client of the server-sent events of a task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import aiohttp

from tests.patience import patient


class Event(NamedTuple):
    """One event, or a comment."""

    name: str
    id: str
    data: Any


class EventStream:
    """An open stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str, task_id: str, **headers: str) -> AsyncIterator[Self]:
        """Open the stream of a task."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{url}/api/tasks/{task_id}/stream", headers=named) as response,
        ):
            yield cls(response)

    async def next(self) -> Event | None:
        """The next event or comment; None at the end. The interval for `retry` is left out."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(patient(20.0)):
            while line := (await self.response.content.readline()).decode():
                if line == "\n":
                    if "retry" not in fields:
                        return _event(fields)
                    fields = {}
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
        return None

    async def rest(self) -> list[Event]:
        """All events to the end, without comments."""
        events = []
        while (event := await self.next()) is not None:
            if event.name:
                events.append(event)
        return events


def _event(fields: dict[str, str]) -> Event:
    data = json.loads(fields["data"]) if "data" in fields else fields.get("")
    return Event(fields.get("event", ""), fields.get("id", ""), data)


def events_in(body: str) -> list[Event]:
    """The events of a whole stream, without comments."""
    blocks = [block.splitlines() for block in body.split("\n\n") if block]
    parsed = [_event(dict(line.split(": ", 1) for line in block)) for block in blocks]
    return [event for event in parsed if event.name]


def text_of(events: list[Event], text: str = "") -> str:
    """The text that a client shows after these events."""
    for event in events:
        if event.name == "output":
            start = event.data["seq"] - len(event.data["text"])
            assert start in {0, len(text)}
            text = text[:start] + event.data["text"]
    return text
