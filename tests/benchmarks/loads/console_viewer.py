"""Does what an open console does: `python -m tests.benchmarks.loads.console_viewer PORT`.

It shows six screens at once, where a browser shows one: it joins the topics that change by
themselves, asks for each list again a while after its answer, and reads the tasks once a second.
At the end it prints to stderr how many messages and bytes of each kind it got.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
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
LIVE: Final = ("admin:overview", "admin:tasks", "admin:provider")


class Viewer:
    """A console of the server at `url`.

    Attributes:
        messages: how many there were of each topic and event, and of the pages of tasks.
        size_bytes: their size.
    """

    def __init__(self, url: str) -> None:
        self.messages: Counter[str] = Counter()
        self.size_bytes: Counter[str] = Counter()
        self._url = url
        self._replies: dict[str, asyncio.Future[Any]] = {}
        self._ref = 0

    async def watch(self) -> None:
        """Look at everything."""
        target = f"{self._url}/console/socket/websocket?vsn=2.0.0"
        async with aiohttp.ClientSession() as http, http.ws_connect(target, max_msg_size=0) as wire:
            reading = asyncio.create_task(self._read(wire))
            for topic in (*LIVE, *LISTS):
                await self._push(wire, topic, "phx_join", {})
            say_that_it_works()
            async with asyncio.TaskGroup() as screens:
                screens.create_task(self._must_last(reading))
                screens.create_task(self._read_tasks(http))
                for topic in LISTS:
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
            async with http.get(f"{self._url}/api/console/tasks?limit=60") as page:
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
    viewer = Viewer(f"http://127.0.0.1:{sys.argv[1]}")
    run_until_told(viewer.watch())
    sys.stderr.write(json.dumps({"messages": viewer.messages, "bytes": viewer.size_bytes}) + "\n")
