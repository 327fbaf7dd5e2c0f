"""An endpoint whose channels record when and why they end."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from phoenix_compat import Drainer, Endpoint, LongPollOptions, Socket, mount, ok
from phoenix_compat.result import Result
from tests.integration.echo_app import OpenChannel
from tests.serving import EventLog, accepting

DRAINING = ("shutdown", "draining")
STARTED = "a slow join has started"
SLOW_JOIN: list[Any] = ["2", "2", "room:a", "phx_join", {"slow": True}]


class Harness:
    """An endpoint with one socket, whose channels record when and why they end.

    A join with "slow" in its payload records that it has started, and waits for `go_on`.
    """

    def __init__(
        self, drainer: Drainer | bool = True, longpoll: LongPollOptions | bool = True
    ) -> None:
        event_log = self.event_log = EventLog()
        go_on = self.go_on = asyncio.Event()

        class EndingChannel(OpenChannel):
            async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
                if "slow" in payload:
                    event_log.record(STARTED)
                    await go_on.wait()
                return ok()

            def terminate(self, reason: Any, socket: Socket) -> None:
                event_log.record(
                    (socket.assigns["user"], reason, asyncio.get_running_loop().time())
                )

        self.endpoint = Endpoint()
        self.endpoint.socket(
            "/socket", accepting({"room:*": EndingChannel}), longpoll=longpoll, drainer=drainer
        )
        self.app = web.Application()
        mount(self.app, self.endpoint)

    async def ended(self, count: int) -> list[tuple[str | None, Any, float]]:
        """The next `count` channels that ended: user, reason and time."""
        return [await self.event_log.next() for _channel in range(count)]
