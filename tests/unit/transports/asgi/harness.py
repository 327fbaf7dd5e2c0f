"""An ASGI server without a network: it hands out events, and records those of the application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from phoenix_compat import Channel, Endpoint, Limits, Socket, WebSocketOptions, ok, on
from phoenix_compat.asgi import Application, app
from phoenix_compat.result import HandleResult, Result
from tests.patience import patient
from tests.serving import EventLog, accepting

Headers = list[tuple[bytes, bytes]]


def websocket_scope(path: str = "/socket/websocket", **more: Any) -> dict[str, Any]:
    """The scope of a websocket, as uvicorn makes it."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"vsn=2.0.0",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 50_000),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        **more,
    }


def http_scope(path: str = "/socket/longpoll", **more: Any) -> dict[str, Any]:
    """The scope of an HTTP request."""
    scope = {**websocket_scope(path), "type": "http", "scheme": "http", "method": "GET", **more}
    del scope["subprotocols"], scope["extensions"]
    return scope


class FakeServer:
    """One connection of an ASGI server.

    Attributes:
        sent: the events of the application.
        writable: `send` waits while it is not set.
        error: what `send` raises instead.
        receives: how often the application has called `receive`.
    """

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.error: Exception | None = None
        self.receives = 0
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._changed = asyncio.Condition()

    def give(self, kind: str, **more: Any) -> None:
        """Give an event to the application."""
        self._events.put_nowait({"type": kind, **more})

    def message(self, *message: Any) -> None:
        """Give it a message of the client, in V2's form."""
        self.give("websocket.receive", text=json.dumps(message))

    async def receive(self) -> Any:
        """See types.Receive."""
        self.receives += 1
        async with self._changed:
            self._changed.notify_all()
        return await self._events.get()

    async def send(self, event: Mapping[str, Any]) -> None:
        """See types.Send."""
        await self.writable.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(dict(event))
        async with self._changed:
            self._changed.notify_all()

    async def sent_when(self, count: int) -> list[Any]:
        """The events of the application, once there are so many."""
        async with asyncio.timeout(patient(5.0)), self._changed:
            await self._changed.wait_for(lambda: len(self.sent) >= count)
        return self.sent

    async def received_when(self, count: int) -> None:
        """Wait until the application has called `receive` so often."""
        async with asyncio.timeout(patient(5.0)), self._changed:
            await self._changed.wait_for(lambda: self.receives >= count)

    @property
    def messages(self) -> list[Any]:
        """The text messages that were sent, decoded."""
        return [json.loads(event["text"]) for event in self.sent if event.get("text")]

    @property
    def close_codes(self) -> list[int]:
        """The codes of the closes that were sent."""
        return [event["code"] for event in self.sent if event["type"] == "websocket.close"]


class Harness:
    """An endpoint with one socket as an ASGI application, whose channels record why they end.

    The join of `room:slow` waits for `go_on`.
    """

    def __init__(
        self, limits: Limits | None = None, websocket: WebSocketOptions | None = None
    ) -> None:
        log = self.log = EventLog()
        go_on = self.go_on = asyncio.Event()

        class RoomChannel(Channel):
            async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
                if topic == "room:slow":
                    log.record("joining")
                    await go_on.wait()
                return ok()

            @on("echo")
            def echo(self, payload: Any, socket: Socket) -> HandleResult:
                return ok(payload)

            @on("push_many")
            def push_many(self, payload: Any, socket: Socket) -> HandleResult:
                for number in range(payload["count"]):
                    socket.push("msg", {"n": number, "pad": "x" * payload.get("size", 0)})
                return None

            @on("bytes")
            def bytes(self, payload: Any, socket: Socket) -> HandleResult:
                return ok(payload)

            def terminate(self, reason: Any, socket: Socket) -> None:
                log.record(reason)

        self.endpoint = Endpoint(limits=limits)
        self.endpoint.socket(
            "/socket",
            accepting({"room:*": RoomChannel}),
            websocket=websocket or WebSocketOptions(),
            longpoll=True,
        )
        self.app: Application = app(self.endpoint)
        self._running: list[asyncio.Task[None]] = []

    def run(self, scope: dict[str, Any]) -> tuple[FakeServer, asyncio.Task[None]]:
        """Run the application for one connection."""
        server = FakeServer()
        running = asyncio.create_task(self.app(scope, server.receive, server.send))
        return server, running

    async def connect(self) -> tuple[FakeServer, asyncio.Task[None]]:
        """Run it for a websocket, and wait until it is accepted."""
        server, running = self.run(websocket_scope())
        server.give("websocket.connect")
        assert (await server.sent_when(1))[0]["type"] == "websocket.accept"
        return server, running

    async def join(self, topic: str = "room:a") -> tuple[FakeServer, asyncio.Task[None]]:
        """The same, and join a topic."""
        server, running = await self.connect()
        server.message("1", "1", topic, "phx_join", {})
        await server.sent_when(2)
        return server, running


async def ended(running: asyncio.Task[None]) -> None:
    """Wait until the application has returned."""
    async with asyncio.timeout(patient(5.0)):
        await running
