"""The constants and the types of messages."""

from __future__ import annotations

import pytest

from phoenix_compat.protocol import message as words
from phoenix_compat.protocol.message import Broadcast, Message


def test_the_constants_of_the_wire() -> None:
    """Every reserved word is spelled as in Phoenix."""
    spelled = {
        words.PHX_JOIN: "phx_join",
        words.PHX_LEAVE: "phx_leave",
        words.PHX_REPLY: "phx_reply",
        words.PHX_CLOSE: "phx_close",
        words.PHX_ERROR: "phx_error",
        words.HEARTBEAT: "heartbeat",
        words.PHOENIX_TOPIC: "phoenix",
        words.DISCONNECT: "disconnect",
    }

    assert list(spelled.values()) == list(spelled)


def test_the_reasons_of_the_wire() -> None:
    """Every constant payload is spelled as in Phoenix."""
    reasons = [
        words.UNMATCHED_TOPIC,
        words.TOO_MANY_CHANNELS,
        words.JOIN_CRASHED,
        words.CHANNEL_CRASH,
    ]

    assert reasons == [
        {"reason": "unmatched topic"},
        {"reason": "too many channels joined"},
        {"reason": "join crashed"},
        {"reason": "channel_crash"},
    ]


@pytest.mark.parametrize(
    "value",
    [
        Message("1", "2", "t", "e", {}),
        Broadcast("t", "e", {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_a_value(value: object) -> None:
    """Messages are immutable, because they are shared."""
    with pytest.raises(AttributeError, match="immutable"):
        value.topic = "other"  # type: ignore[attr-defined] # any attribute would do


def test_a_message_holds_whatever_json_came() -> None:
    """The types of the fields are not checked."""
    message = Message({"a": 1}, [2], None, True, 1.5)

    assert [message.join_ref, message.ref, message.topic, message.event, message.payload] == [
        {"a": 1},
        [2],
        None,
        True,
        1.5,
    ]
