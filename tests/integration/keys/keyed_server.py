"""The task server with a socket that asks for an API key; run as a module, like the program.

It shows what a revocation does to open sockets without the rest of authentication.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from phoenix_compat.channel import Channel
from phoenix_compat.cli import main
from phoenix_compat.cluster import supervisor
from phoenix_compat.result import Result, error, ok
from phoenix_compat.server import main as server
from phoenix_compat.socket import Socket, SocketHandler
from phoenix_compat.tasks.model.errors import StoreUnavailableError

NAME = "tests.integration.keys.keyed_server"


class Room(Channel):
    """Anyone may join."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Accept everyone."""
        return ok()


def keyed_socket(lookup: Any) -> type[SocketHandler]:
    """A socket that asks for a key in the parameter `token`."""

    class KeyedSocket(SocketHandler):
        channels = {"room:*": Room}  # noqa: RUF012 - as in every socket

        async def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            """Accept a key that is found."""
            try:
                key = await lookup.find(params.get("token", ""))
            except StoreUnavailableError:
                return error("unavailable")
            if key is None:
                return error()
            socket.assign(owner=key.owner)
            return ok()

        def id(self, socket: Socket) -> str | None:
            """The owner's sockets have one id."""
            return f"user:{socket.assigns['owner']}"

    return KeyedSocket


def install() -> None:
    """Replace the task server's socket, also in the processes that the supervisor starts."""
    lookups: list[Any] = []
    look_up = server._key_lookup

    def remember(*arguments: Any) -> Any:
        lookups.append(look_up(*arguments))
        return lookups[-1]

    def handler(*_arguments: Any) -> type[SocketHandler]:
        return keyed_socket(lookups[-1])

    patch = pytest.MonkeyPatch()
    patch.setattr(server, "_key_lookup", remember)
    patch.setattr(server, "user_socket", handler)
    patch.setattr(supervisor, "_this_program", lambda: (sys.executable, "-m", NAME))


if __name__ == "__main__":
    install()
    main()
