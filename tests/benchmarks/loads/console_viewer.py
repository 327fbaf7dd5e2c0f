"""Does what an open console does: `python -m tests.benchmarks.loads.console_viewer PORT …`.

It shows the screens that are named, or all, at once: it joins the topics that change by themselves,
asks for each list again a while after its answer, and reads the tasks once a second.
At the end it prints to stderr how many messages and bytes of each kind it got.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

import aiohttp

from tests.benchmarks.loads.until_told import run_until_told, say_that_it_works

TASKS_EVERY_S: Final = 1.0
LISTS: Final[dict[str, tuple[float, dict[str, Any]]]] = {
    "admin:sockets": (2.0, {"order": "newest", "offset": 0, "limit": 50}),
    "admin:channels": (2.0, {"order": "busiest", "limit": 100}),
    "admin:logs": (1.5, {"level": "debug", "limit": 1_000}),
}
"""The pause after an answer, and the query, as in `static/screens`."""
LIVE: Final[dict[str, tuple[str, ...]]] = {
    "overview": ("admin:overview", "admin:tasks"),
    "tasks": ("admin:tasks",),
    "provider": ("admin:provider",),
}
"""The topics of each screen that change by themselves."""
TASKS: Final = {"overview": 6, "tasks": 60}
"""How many tasks a screen reads."""
SCREENS: Final = ("overview", "tasks", "sockets", "channels", "logs", "provider")


class Viewer:
    """A console of the server at `url` that shows some screens.

    Attributes:
        messages: how many there were of each topic and event, and of the pages of tasks.
        size_bytes: their size.
    """

    def __init__(self, url: str, screens: Collection[str] = SCREENS) -> None:
        self.messages: Counter[str] = Counter()
        self.size_bytes: Counter[str] = Counter()
        self._url = url
        self._lists = [topic for topic in LISTS if topic.removeprefix("admin:") in screens]
        self._live = {topic for screen in screens for topic in LIVE.get(screen, ())}
        self._tasks = max(TASKS.get(screen, 0) for screen in screens)
        self._replies: dict[str, asyncio.Future[Any]] = {}
        self._ref = 0

    async def watch(self) -> None:
        """Look at everything."""
        target = f"{self._url}/console/socket/websocket?vsn=2.0.0"
        async with aiohttp.ClientSession() as http, http.ws_connect(target, max_msg_size=0) as wire:
            reading = asyncio.create_task(self._read(wire))
            for topic in (*self._live, *self._lists):
                await self._push(wire, topic, "phx_join", {})
            say_that_it_works()
            async with asyncio.TaskGroup() as screens:
                screens.create_task(self._must_last(reading))
                if self._tasks:
                    screens.create_task(self._read_tasks(http))
                for topic in self._lists:
                    screens.create_task(self._ask_again(wire, topic))

    async def _must_last(self, reading: asyncio.Task[None]) -> None:
        await reading
        raise ConnectionError("the server has closed the console's socket")

    async def _ask_again(self, wire: aiohttp.ClientWebSocketResponse, topic: str) -> None:
        pause_s, query = LISTS[topic]
        after: dict[str, int] = {}
        while True:
            more = {"after": after} if topic == "admin:logs" else {}
            answer = await self._push(wire, topic, "list", {**query, **more})
            after = answer.get("after", after)
            await asyncio.sleep(pause_s)

    async def _read_tasks(self, http: aiohttp.ClientSession) -> None:
        while True:
            async with http.get(f"{self._url}/api/console/tasks?limit={self._tasks}") as page:
                self._note("tasks", await page.read())
                assert page.status == 200
            await asyncio.sleep(TASKS_EVERY_S)

    async def _push(
        self, wire: aiohttp.ClientWebSocketResponse, topic: str, event: str, payload: Any
    ) -> Any:
        self._ref += 1
        ref = str(self._ref)
        reply = self._replies[ref] = asyncio.get_running_loop().create_future()
        await wire.send_json([topic, ref, topic, event, payload])
        answer = await reply
        assert answer["status"] == "ok", (topic, answer)
        return answer["response"]

    async def _read(self, wire: aiohttp.ClientWebSocketResponse) -> None:
        async for message in wire:
            _, ref, topic, event, payload = json.loads(message.data)
            self._note(f"{topic} {event}", message.data.encode())
            if ref in self._replies:
                self._replies.pop(ref).set_result(payload)

    def _note(self, kind: str, data: bytes) -> None:
        self.messages[kind] += 1
        self.size_bytes[kind] += len(data)


if __name__ == "__main__":
    viewer = Viewer(f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2:] or SCREENS)
    run_until_told(viewer.watch())
    sys.stderr.write(json.dumps({"messages": viewer.messages, "bytes": viewer.size_bytes}) + "\n")
