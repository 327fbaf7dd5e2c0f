"""Decisions about messages: docs/protocol.md §3.1."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from phoenix_compat.protocol.message import Message
from phoenix_compat.protocol.session import Decision, decide

TOPICS = ["phoenix", "room:a", "heartbeat", "", None, 1]
EVENTS = ["heartbeat", "phx_join", "phx_leave", "phx_reply", "phx_close", "new_msg", "", None, 7]
REFS: list[Any] = [None, "1", "2", "", 1, 0, 1.0, True, False, [1], {"a": 1}]

# Independent of the code: topic is "phoenix" and event "heartbeat"?, joined?, the event, whether
# the join_ref is null or the stored one. Anything that is not named is `other`.
ORACLE = {
    ("joined", "join", "fits"): Decision.REJOIN,
    ("joined", "join", "differs"): Decision.REJOIN,
    ("joined", "leave", "fits"): Decision.LEAVE,
    ("joined", "leave", "differs"): Decision.STALE,
    ("joined", "other", "fits"): Decision.DELIVER,
    ("joined", "other", "differs"): Decision.STALE,
    ("unjoined", "join", "fits"): Decision.JOIN,
    ("unjoined", "join", "differs"): Decision.JOIN,
    ("unjoined", "leave", "fits"): Decision.LEAVE_UNJOINED,
    ("unjoined", "leave", "differs"): Decision.LEAVE_UNJOINED,
    ("unjoined", "other", "fits"): Decision.UNMATCHED,
    ("unjoined", "other", "differs"): Decision.UNMATCHED,
}


def looked_up(topic: Any, event: Any, ref: Any, stored: Any, is_joined: bool) -> Decision:
    """The decision by the table above."""
    if (topic, event) == ("phoenix", "heartbeat"):
        return Decision.HEARTBEAT
    joined = "joined" if is_joined else "unjoined"
    kind = {"phx_join": "join", "phx_leave": "leave"}.get(event, "other")
    fits = "fits" if ref is None or repr(ref) == repr(stored) else "differs"
    return ORACLE[joined, kind, fits]


@pytest.mark.parametrize("is_joined", [False, True], ids=["unjoined", "joined"])
@pytest.mark.parametrize("event", EVENTS)
def test_every_combination(event: Any, is_joined: bool) -> None:
    """For every topic, join_ref and stored join_ref the first matching row decides."""
    combinations = list(itertools.product(TOPICS, REFS, REFS))

    decisions = [
        decide(Message(ref, "9", topic, event, {}), is_joined=is_joined, stored_join_ref=stored)
        for topic, ref, stored in combinations
    ]

    assert decisions == [
        looked_up(topic, event, ref, stored, is_joined) for topic, ref, stored in combinations
    ]


@pytest.mark.parametrize(
    ("ref", "stored"),
    [("1", 1), (1, "1"), (1, 1.0), (1, True), (0, False), ("1", None), ("", None), (False, None)],
)
def test_refs_are_compared_as_json(ref: Any, stored: Any) -> None:
    """A join_ref that only resembles the stored one is stale; a stored null matches only null."""
    message = Message(ref, "9", "room:a", "new_msg", {})

    assert decide(message, is_joined=True, stored_join_ref=stored) is Decision.STALE


def test_a_heartbeat_is_answered_on_a_joined_phoenix_topic() -> None:
    """A heartbeat is handled as such even if a channel is joined on "phoenix"."""
    message = Message("2", None, "phoenix", "heartbeat", "anything")

    assert decide(message, is_joined=True, stored_join_ref="1") is Decision.HEARTBEAT


def test_the_topic_phoenix_is_not_special_otherwise() -> None:
    """Other events on "phoenix" follow the table."""
    message = Message(None, "9", "phoenix", "new_msg", {})

    assert decide(message, is_joined=False) is Decision.UNMATCHED
