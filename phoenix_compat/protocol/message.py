"""What travels: messages from a client, and what a server says back.

The words of the wire (`phx_join`, `unmatched topic`) are spelled here, once.

Source: phoenix 1.8.12, lib/phoenix/socket/message.ex and lib/phoenix/socket.ex.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

JSON: TypeAlias = Any
"""A value as JSON has it: None, bool, int, float, str, list or dict with str keys."""

Payload: TypeAlias = Any
"""JSON, or bytes for a binary message (`{:binary, data}` in Phoenix)."""

Ref: TypeAlias = Any
"""A ref exactly as the client sent it: most send strings, some integers, some null."""

PHX_JOIN: Final = "phx_join"
PHX_LEAVE: Final = "phx_leave"
PHX_REPLY: Final = "phx_reply"
PHX_CLOSE: Final = "phx_close"
PHX_ERROR: Final = "phx_error"
HEARTBEAT: Final = "heartbeat"
PHOENIX_TOPIC: Final = "phoenix"
DISCONNECT: Final = "disconnect"

UNMATCHED_TOPIC: Final = {"reason": "unmatched topic"}
TOO_MANY_CHANNELS: Final = {"reason": "too many channels joined"}
JOIN_CRASHED: Final = {"reason": "join crashed"}
CHANNEL_CRASH: Final = {"reason": "channel_crash"}


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message of a client, or a push to one. Its five fields are the places of a V2 array.

    No field is checked against a type, as in Phoenix: whatever JSON came is echoed as it came.
    """

    join_ref: Ref
    ref: Ref
    topic: Any
    event: Any
    payload: Payload


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """One event for all subscribers of a topic."""

    topic: str
    event: str
    payload: Payload


Frame: TypeAlias = bytes
"""An encoded message. It goes out as text, unless it is a BinaryFrame: nearly all are text, and an
object around the bytes would cost each of them."""


class BinaryFrame(bytes):
    """An encoded message that goes out as binary."""

    __slots__ = ()
