"""A socket beside the task server's that answers what it gets, for `channels_module`."""

from __future__ import annotations

from typing import Any, ClassVar

from phoenix_compat import Channel, Result, Socket, SocketHandler, ok, on


class EchoChannel(Channel):
    """`room:*`."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Accept everyone."""
        del topic, payload, socket
        return ok()

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> Result:
        """Answer with the payload."""
        del socket
        return ok(payload)


class EchoSocket(SocketHandler):
    """Accepts everyone."""

    channels: ClassVar[Any] = {"room:*": EchoChannel}

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """See SocketHandler."""
        del params, socket, connect_info
        return ok()

    def id(self, socket: Socket) -> str | None:
        """See SocketHandler."""
        del socket
        return None
