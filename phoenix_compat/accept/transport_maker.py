"""Makes the transport of an accepted connection without a task and a future for each.

asyncio's public `connect_accepted_socket` is a coroutine that waits until the protocol knows of the
connection. Nobody here waits for that, and it is a tenth of what a websocket's handshake costs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeAlias

MakeTransport: TypeAlias = Callable[[socket.socket, asyncio.Protocol], object]


def transport_maker(loop: asyncio.AbstractEventLoop) -> MakeTransport | None:
    """What makes a transport and tells the protocol; None if this event loop has no such thing.

    The function that is returned raises OSError if the client is gone.
    """
    make = getattr(loop, "_make_socket_transport", None)
    if make is None or not isinstance(loop, asyncio.SelectorEventLoop):
        return None

    def make_transport(accepted: socket.socket, protocol: asyncio.Protocol) -> object:
        accepted.setblocking(False)  # noqa: FBT003 - its only form
        return make(accepted, protocol)

    return make_transport
