"""A channel that every client may join, and a client that has joined it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from phoenix_compat import Channel, HandleResult, Result, Socket, ok, on
from tests.conftest import Open, Serve
from tests.serving import accepting, socket_app
from tests.wire import PhoenixWire


class OpenChannel(Channel):
    """A base class that accepts every join."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Awaitable[Result] | Result:
        return ok()

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)


async def joined(serve: Serve, open_wire: Open, channel: type[Channel]) -> PhoenixWire:
    """A V2 client that has joined `room:a`, served by this channel."""
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a")
    return wire
