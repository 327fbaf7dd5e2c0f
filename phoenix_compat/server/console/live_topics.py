"""Broadcasts the state of a topic again and again, while somebody watches it.

However many consoles are open, the state is read once for all of them. A console that does not read
keeps at most one unsent state (`newest_only`), so its memory is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from phoenix_compat.background import BackgroundTask
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.tasks.model.task import JSONObject

SNAPSHOT: Final = "snapshot"
"""The event with the whole state of a topic."""

Read: TypeAlias = Callable[[], Awaitable[JSONObject]]
"""Reads the state. An error is logged, counted and reported on /readyz; reading begins anew."""


class _LiveTopic:
    """One topic that is watched."""

    def __init__(self, endpoint: Endpoint, topic: str, read: Read, interval_s: float) -> None:
        self.background = BackgroundTask(f"console-{topic}", self._broadcast)
        self.watchers = 0
        self._endpoint = endpoint
        self._topic = topic
        self._read = read
        self._interval_s = interval_s

    async def _broadcast(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            state = await self._read()
            self._endpoint.local_broadcast(self._topic, SNAPSHOT, state, newest_only=True)


class LiveTopics:
    """The topics of the console that are watched now, each with its background task."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._topics: dict[str, _LiveTopic] = {}

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks that run now."""
        return tuple(topic.background for topic in self._topics.values())

    def watch(self, topic: str, read: Read, interval_s: float) -> Callable[[], None]:
        """Begin to broadcast a topic, unless it is broadcast already.

        Args:
            interval_s: the pause between two states, in seconds.

        Returns:
            A function to call once, when the watcher is gone. The last one ends the broadcasts.
        """
        found = self._topics.get(topic)
        if found is None:
            found = self._topics[topic] = _LiveTopic(self._endpoint, topic, read, interval_s)
            found.background.start()
        found.watchers += 1

        def leave() -> None:
            found.watchers -= 1
            if found.watchers == 0:
                found.background.cancel()
                del self._topics[topic]

        return leave

    async def stop(self) -> None:
        """End all broadcasts."""
        for topic in tuple(self._topics.values()):
            await topic.background.stop()
