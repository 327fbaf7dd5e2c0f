"""The commands about the clients of the running server: who is connected, and disconnect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from phoenix_compat.server.control.messages import Arguments, ControlError, Handler
from phoenix_compat.server.inspection.sockets import SocketQuery, Sockets

LIST: Final = "sockets.list"
DISCONNECT: Final = "sockets.disconnect"


class _Whom(msgspec.Struct, forbid_unknown_fields=True):
    id: str | None = None
    owner: str | None = None


def socket_commands(sockets: Sockets) -> Mapping[str, Handler]:
    """The handlers of the commands, by name.

    `sockets.list` takes the fields of SocketQuery and returns a ClientPage; `sockets.disconnect`
    takes either `id` or `owner` and returns a Disconnected.
    """

    async def list_some(arguments: Arguments) -> object:
        return await sockets.list(msgspec.convert(arguments, SocketQuery))

    async def disconnect(arguments: Arguments) -> object:
        whom = msgspec.convert(arguments, _Whom)
        if (whom.id is None) == (whom.owner is None):
            raise ControlError("give either the id of a client or an owner")
        if whom.owner is not None:
            return await sockets.disconnect_owner(whom.owner)
        return await sockets.disconnect(whom.id or "")

    return {LIST: list_some, DISCONNECT: disconnect}
