"""Says what the app that plays the scenarios has to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from phoenix_compat.conformance.faults.plan import Fault

APP: Final = (
    "Connect to the scenario's URL, join its topic, and let the client reconnect and rejoin.",
    "Pass the param `token`: a new text for each connection, if the client can call a function.",
    "After each successful join, push `echo` with any payload.",
    'On the event `ask`, push `heard` with its payload, or with {"bytes": N} if it is binary.',
    'When `echo` is answered, push `heard` with {"reply": the response}.',
    'When `echo` times out, push `heard` with {"timeout": true}.',
    "When the connection is lost, push `buffered` with any payload, once.",
    'If it knows presence: after each sync, push `heard` with {"present": {key: number of metas}}.',
    "On the event `do`, do what its `action` says, if the client can.",
    'After the action, push `heard` with {"done": the action}, if the channel was not left.',
)
"""What the app does. If the client cannot push, the app uses POST /control/heard instead."""

DO: Final = "do"
HEARD: Final = "heard"
OUTDATED: Final = "outdated"
"""The event of the push that must not arrive after its timeout."""
PUSH_TIMEOUT_MS: Final = 300


class Action(StrEnum):
    """What the event `do` asks for; an app that cannot do it ignores the event."""

    LEAVE_AND_JOIN = "leave_and_join"
    JOIN_AND_LEAVE = "join_and_leave"
    JOIN_WHEN_LOST = "join_when_lost"
    PUSH_WHEN_LOST = "push_when_lost"
    SUSPEND = "suspend"


ACTIONS: Final = {
    Action.LEAVE_AND_JOIN: (
        "Leave the channel, and join its topic again at once, without waiting for the reply. With"
        " the new channel the app does the same as with the first."
    ),
    Action.JOIN_AND_LEAVE: (
        "Join the topic `topic` with another channel, and leave it at once, without waiting."
    ),
    Action.JOIN_WHEN_LOST: (
        "When the connection is lost, join the topic `topic` with another channel, once."
    ),
    Action.PUSH_WHEN_LOST: (
        "When the connection is lost, push `outdated` with a timeout of `timeout_ms`, once; when it"
        ' times out, push `heard` with {"expired": true}.'
    ),
    Action.SUSPEND: (
        "Stop the client for `seconds`, as a phone does with an app in the background: it neither"
        " sends nor receives nor sees time pass. Run it in its own process or thread. The server"
        " notices this, in case the push with `done` is lost with the connection."
    ),
}

_ACTION_OF: Final = {
    "quick_rejoin": Action.LEAVE_AND_JOIN,
    "quick_leave": Action.JOIN_AND_LEAVE,
    "offline_join": Action.JOIN_WHEN_LOST,
    "offline_push": Action.PUSH_WHEN_LOST,
    "background": Action.SUSPEND,
}


def action_of(fault: Fault) -> Action | None:
    """What a fault asks the app to do, if anything."""
    return _ACTION_OF.get(fault.name)


def other_topic(topic: str) -> str:
    """The topic of the other channel that the app is asked to join; nothing goes wrong there."""
    return f"other:{topic}"


def request_payload(action: Action, topic: str, fault: Fault) -> dict[str, object]:
    """The payload of the event `do`."""
    match action:
        case Action.JOIN_AND_LEAVE | Action.JOIN_WHEN_LOST:
            return {"action": action.value, "topic": other_topic(topic)}
        case Action.PUSH_WHEN_LOST:
            return {"action": action.value, "timeout_ms": PUSH_TIMEOUT_MS}
        case Action.SUSPEND:
            return {"action": action.value, "seconds": fault.value}
        case _:
            return {"action": action.value}
