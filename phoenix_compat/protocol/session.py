"""Decides what a socket does with a message, by a table.

     topic joined?   event            join_ref              decision
  1  (any)           heartbeat, on topic "phoenix"          HEARTBEAT        reply ok
  2  no              phx_join         any                   JOIN             start a channel
  3  yes             phx_join         any                   REJOIN           replace the channel
  4  yes             phx_leave        null or the stored    LEAVE            deliver as a leave
  5  yes             any other        null or the stored    DELIVER          deliver
     yes             not phx_join     another               STALE            drop silently
  6  no              phx_leave        any                   LEAVE_UNJOINED   reply ok
  7  no              any other        any                   UNMATCHED        reply error

The first match wins. Refs are compared as JSON values of the same type: "1" is not 1, and a stored
null matches only null.

Source: phoenix 1.8.12, lib/phoenix/socket.ex, __in__/2 and handle_in/4.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from phoenix_compat.protocol.message import HEARTBEAT, PHOENIX_TOPIC, PHX_JOIN, PHX_LEAVE, Message


class Decision(Enum):
    """What the socket does with one message."""

    HEARTBEAT = auto()
    JOIN = auto()
    REJOIN = auto()
    LEAVE = auto()
    DELIVER = auto()
    STALE = auto()
    LEAVE_UNJOINED = auto()
    UNMATCHED = auto()


def decide(message: Message, *, is_joined: bool, stored_join_ref: Any = None) -> Decision:
    """Look a message up in the table above.

    Args:
        message: the decoded message.
        is_joined: whether this socket has joined the message's topic.
        stored_join_ref: the join_ref of that join, exactly as the client sent it.
    """
    event = message.event
    if event == HEARTBEAT and message.topic == PHOENIX_TOPIC:
        return Decision.HEARTBEAT
    if not is_joined:
        if event == PHX_JOIN:
            return Decision.JOIN
        return Decision.LEAVE_UNJOINED if event == PHX_LEAVE else Decision.UNMATCHED
    if event == PHX_JOIN:
        return Decision.REJOIN
    join_ref = message.join_ref
    if join_ref is not None and not _is_same(join_ref, stored_join_ref):
        return Decision.STALE
    return Decision.LEAVE if event == PHX_LEAVE else Decision.DELIVER


def _is_same(join_ref: Any, stored: Any) -> bool:
    # In Python 1, 1.0 and True are equal; in JSON they are not.
    return type(join_ref) is type(stored) and bool(join_ref == stored)
