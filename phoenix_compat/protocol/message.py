"""The messages of the protocol, and the constants of the wire (`phx_join`, `unmatched topic`).

Source: phoenix 1.8.12, lib/phoenix/socket/message.ex and lib/phoenix/socket.ex.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

JSON: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""

Payload: TypeAlias = Any
"""JSON, or bytes for a binary message (`{:binary, data}` in Phoenix)."""

Ref: TypeAlias = Any
"""A ref exactly as the client sent it: usually a string, sometimes an integer or null."""

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
INVALID_PAYLOAD: Final = "invalid_payload"


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A message from a client, or a push to one. Its fields are the five items of a V2 array.

    A longer array is decoded otherwise, because msgspec does not check what it skips.

    The types of the fields are not checked, as in Phoenix: any JSON value is sent back unchanged.
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
"""An encoded message. It is sent as text, unless it is a BinaryFrame. Nearly all messages are text,
so plain bytes save an object for each of them."""


class BinaryFrame(bytes):
    """An encoded message that is sent as binary."""

    __slots__ = ()
