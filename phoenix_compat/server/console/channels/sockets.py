"""`admin:sockets`: the connected clients, on request, and disconnecting them."""

from __future__ import annotations

import msgspec
import structlog

from phoenix_compat.channel import on
from phoenix_compat.protocol.message import JSON
from phoenix_compat.result import Result
from phoenix_compat.server.console.channels.answers import (
    AnsweringChannel,
    answered,
    inspection_of,
)
from phoenix_compat.server.inspection.frames import FrameQuery
from phoenix_compat.server.inspection.sockets import SocketQuery
from phoenix_compat.socket import Socket

log = structlog.stdlib.get_logger(__name__)


class OneClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client, by the id that the list shows."""

    id: str


class OneOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All clients of an owner."""

    owner: str


class SocketsChannel(AnsweringChannel):
    """`list`, `disconnect`, `disconnect_owner` and `frames`."""

    @on("list", SocketQuery)
    async def list(self, query: SocketQuery, socket: Socket) -> Result:
        """Answer with a ClientPage."""
        return await answered(inspection_of(socket).sockets.list(query))

    @on("disconnect", OneClient)
    async def disconnect(self, whom: OneClient, socket: Socket) -> Result:
        """Disconnect one client."""
        log.info("socket.disconnected", client=whom.id, by=_operator(socket))
        return await answered(inspection_of(socket).sockets.disconnect(whom.id))

    @on("disconnect_owner", OneOwner)
    async def disconnect_owner(self, whom: OneOwner, socket: Socket) -> Result:
        """Disconnect all clients of an owner."""
        log.info("socket.disconnected", owner=whom.owner, by=_operator(socket))
        return await answered(inspection_of(socket).sockets.disconnect_owner(whom.owner))

    @on("frames", FrameQuery)
    async def frames(self, query: FrameQuery, socket: Socket) -> Result:
        """Answer with a FramePage: the messages of one client."""

        async def read() -> JSON:
            return msgspec.json.decode(await inspection_of(socket).frames.read(query))

        return await answered(read())


def _operator(socket: Socket) -> str:
    return str(socket.assigns["principal"].owner)
