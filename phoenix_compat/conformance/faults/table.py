"""Every fault by name: the one place that says which there are."""

from __future__ import annotations

from typing import Final

from phoenix_compat.conformance.faults.plan import Kind, Moment, Table, Value

_REPLIES: Final = (Moment.PUSH, Moment.JOIN)
_ENDINGS: Final = (Moment.JOIN, Moment.PUSH, Moment.JOINING)

_KINDS: Final = (
    Kind("none", "Nothing goes wrong."),
    # Replies.
    Kind("late", "Replies come so late.", Value.DURATION, moments=_REPLIES),
    Kind("never", "Replies never come.", moments=_REPLIES),
    Kind("twice", "Every reply comes twice.", moments=_REPLIES),
    Kind("refuse_joins", "The first joins get an error reply.", Value.COUNT, 3),
    # Messages that a client must or must not take.
    Kind(
        "stale_ref",
        "After the join come phx_error, phx_close and the event `ask` with the join_ref of a former"
        " join, and each reply is preceded by one with that join_ref.",
    ),
    Kind(
        "noise",
        "After the join come an event, a reply and a topic that the client has never heard of.",
    ),
    Kind("broadcast", "The event `ask` comes as a broadcast, without a join_ref."),
    Kind("binary", "The event `ask` carries four bytes: a binary push."),
    Kind(
        "presence",
        "A presence_diff before the presence_state, further diffs, a dropped connection, and"
        " another presence_state after the rejoin.",
    ),
    # Channels that end.
    Kind("crash", "The channel crashes: phx_error.", moments=_ENDINGS, times=1, delays=True),
    Kind("phx_close", "The channel ends: phx_close.", moments=_ENDINGS, times=1, delays=True),
    # How frames travel.
    Kind(
        "fragment",
        "Every message comes in three websocket fragments, a ping between them.",
        is_for_connections=True,
    ),
    Kind(
        "split",
        "Every frame comes in several TCP segments, the first of one byte.",
        is_for_connections=True,
    ),
    Kind("ping", "A websocket ping comes.", times=1, delays=True, is_for_connections=True),
    # Connections that end.
    Kind(
        "close",
        "The server closes the websocket with this code.",
        Value.CODE,
        moments=_ENDINGS,
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    Kind(
        "drop",
        "The TCP connection is reset, without a close frame.",
        moments=_ENDINGS,
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    Kind(
        "silent_heartbeat",
        "Heartbeats are not answered any more; all else is.",
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    Kind(
        "half_open",
        "Nothing is answered any more, and nothing closed: as if the network had gone.",
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    # Servers that are not there.
    Kind(
        "restart",
        "All connections are closed with 1012, and for so long each new one is reset at once.",
        Value.DURATION,
        2.0,
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    Kind(
        "outage",
        "The connection is dropped, and the next `times` upgrades are refused with this status.",
        Value.STATUS,
        503,
        times=6,
        delays=True,
        is_for_connections=True,
    ),
    Kind(
        "flap",
        "The connection is closed with this code, and so are the next `times`, at once after their"
        " upgrade.",
        Value.CODE,
        1011,
        times=8,
        delays=True,
        is_for_connections=True,
    ),
    Kind(
        "refuse_upgrades",
        "The next `times` upgrades are refused with this status.",
        Value.STATUS,
        503,
        times=3,
        is_for_topics=False,
        is_for_connections=True,
    ),
    Kind(
        "close_at_once",
        "The next `times` connections are closed with this code at once after their upgrade.",
        Value.CODE,
        1011,
        times=3,
        is_for_topics=False,
        is_for_connections=True,
    ),
)

FAULTS: Final = Table({kind.name: kind for kind in _KINDS})
