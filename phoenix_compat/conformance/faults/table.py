"""Lists every fault type, with its defaults."""

from __future__ import annotations

from typing import Final

from phoenix_compat.conformance.faults.plan import FaultTable, FaultType, Moment, ValueType

_REPLIES: Final = (Moment.PUSH, Moment.JOIN)
_ENDINGS: Final = (Moment.JOIN, Moment.PUSH, Moment.JOINING)

_TYPES: Final = (
    FaultType("none", "Nothing goes wrong."),
    # Replies.
    FaultType("late", "Replies are delayed by this long.", ValueType.DURATION, moments=_REPLIES),
    FaultType("never", "Replies are never sent.", moments=_REPLIES),
    FaultType("twice", "Every reply is sent twice.", moments=_REPLIES),
    FaultType("refuse_joins", "This many joins get an error reply.", ValueType.COUNT, 3),
    # Messages that a client must accept or ignore.
    FaultType(
        "stale_ref",
        "After the join, phx_error, phx_close and the event `ask` are sent with the join_ref of an"
        " earlier join, and each reply is preceded by one with that join_ref.",
    ),
    FaultType(
        "noise",
        "After the join, the client gets an unknown event, a reply to an unknown ref and a message"
        " on an unknown topic.",
    ),
    FaultType("broadcast", "The event `ask` is sent as a broadcast, without a join_ref."),
    FaultType("binary", "The event `ask` is sent as a binary push of four bytes."),
    FaultType(
        "presence",
        "A presence_diff is sent before the presence_state, then further diffs; the connection is"
        " dropped, and another presence_state follows the rejoin.",
    ),
    # Channels that end.
    FaultType("crash", "The channel crashes: phx_error.", moments=_ENDINGS, times=1, delays=True),
    FaultType(
        "phx_close", "The channel closes: phx_close.", moments=_ENDINGS, times=1, delays=True
    ),
    # What the app is asked to do at a bad moment: see `app`.
    FaultType(
        "quick_rejoin",
        "The app is asked to leave and to join again at once; the phx_close of the first join"
        " follows the reply to the second.",
        times=1,
    ),
    FaultType(
        "quick_leave",
        "The app is asked to join another topic and to leave it before the reply; then the"
        " connection is dropped.",
        times=1,
    ),
    FaultType(
        "offline_join",
        "The app is asked to join another topic while it is disconnected; the connection is"
        " dropped, and the next `times` upgrades are refused with 503.",
        times=2,
    ),
    FaultType(
        "offline_push",
        "The app is asked to push with a short timeout while it is disconnected; the connection is"
        " dropped, and new ones are reset at once for this long.",
        ValueType.DURATION,
        1.0,
        times=1,
    ),
    FaultType(
        "background",
        "The app is asked to suspend itself for this long; after half of it the server closes the"
        " connection with 1002, as for a client that sends nothing.",
        ValueType.DURATION,
        2.0,
        times=1,
    ),
    # How frames travel.
    FaultType(
        "fragment",
        "Every message is sent in three websocket fragments, with a ping between them.",
        is_for_connections=True,
    ),
    FaultType(
        "split",
        "Every frame is sent in several TCP segments, the first of one byte.",
        is_for_connections=True,
    ),
    FaultType(
        "ping", "The server sends a websocket ping.", times=1, delays=True, is_for_connections=True
    ),
    # Connections that end.
    FaultType(
        "close",
        "The server closes the websocket with this code.",
        ValueType.CODE,
        moments=_ENDINGS,
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "drop",
        "The TCP connection is reset, without a close frame.",
        moments=_ENDINGS,
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "silent_heartbeat",
        "Heartbeats are no longer answered; everything else is.",
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "half_open",
        "Nothing is answered any more and nothing is closed, as if the network were gone.",
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    # Servers that are unavailable.
    FaultType(
        "restart",
        "All connections are closed with 1012, and new ones are reset at once for this long.",
        ValueType.DURATION,
        2.0,
        times=1,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "outage",
        "The connection is dropped, and the next `times` upgrades are refused with this status.",
        ValueType.STATUS,
        503,
        times=6,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "expired_token",
        "The connection is dropped, the next `times` upgrades are refused with 403, and so are"
        " later ones with the token of that connection.",
        times=5,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "flap",
        "The connection is closed with this code, and so are the next `times` connections, right"
        " after their upgrade.",
        ValueType.CODE,
        1011,
        times=8,
        delays=True,
        is_for_connections=True,
    ),
    FaultType(
        "refuse_upgrades",
        "The next `times` upgrades are refused with this status.",
        ValueType.STATUS,
        503,
        times=3,
        is_for_topics=False,
        is_for_connections=True,
    ),
    FaultType(
        "close_at_once",
        "The next `times` connections are closed with this code right after their upgrade.",
        ValueType.CODE,
        1011,
        times=3,
        is_for_topics=False,
        is_for_connections=True,
    ),
)

FAULTS: Final = FaultTable({fault_type.name: fault_type for fault_type in _TYPES})
