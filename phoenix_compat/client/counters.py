"""What a client counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ClientCounters:
    """Counts since the client was created.

    Attributes:
        connects: connections that were opened.
        connect_failures: attempts that failed or were refused.
        connections_lost: connections that ended, except by `close`.
        heartbeat_timeouts: connections given up because a heartbeat was not answered.
        fallbacks: changes from websocket to long-poll.
        joins: joins and rejoins that were accepted.
        joins_refused: joins that got an error reply.
        join_timeouts: joins without a reply in time.
        channel_errors: channels that crashed on the server.
        push_timeouts: pushes without a reply in time.
        pushes_lost: pushes whose reply was lost with the channel or the connection.
        pushes_refused: pushes that a limit refused.
        pushes_outdated: buffered pushes whose time was over before the join.
        messages_dropped: messages for `async for` that a full queue lost.
        messages_stale: messages of an earlier join.
        messages_unmatched: messages on a topic that is not joined.
        messages_unreadable: frames that are not messages.
        diffs_dropped: presence diffs lost because no presence_state came.
        callback_errors: exceptions that callbacks of the app raised.
    """

    connects: int = 0
    connect_failures: int = 0
    connections_lost: int = 0
    heartbeat_timeouts: int = 0
    fallbacks: int = 0
    joins: int = 0
    joins_refused: int = 0
    join_timeouts: int = 0
    channel_errors: int = 0
    push_timeouts: int = 0
    pushes_lost: int = 0
    pushes_refused: int = 0
    pushes_outdated: int = 0
    messages_dropped: int = 0
    messages_stale: int = 0
    messages_unmatched: int = 0
    messages_unreadable: int = 0
    diffs_dropped: int = 0
    callback_errors: int = 0
