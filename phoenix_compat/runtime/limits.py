"""The limits for the clients of a server, and counters of how often they were reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from phoenix_compat.declarations.options import Rules, check_fields, count, seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what one client can make the server hold.

    Attributes:
        max_channels_per_transport: joined topics per connection; further joins are refused.
        max_mailbox_messages: messages waiting for one channel; one more ends the channel.
        max_outbox_bytes: unsent bytes for a slow client; if there are more, the connection is
            closed with 1013.
        send_timeout_s: a websocket client that takes nothing of its unsent bytes for this time is
            closed with 1013. A slow client that goes on reading is not.
        join_timeout_s: how long `join` may take; after that the reply is "join crashed".
        close_timeout_s: how long a client may take to complete the closing handshake.
        shutdown_timeout_s: how long callbacks may take to end when the server stops.

    Differs from Phoenix: the mailbox, the outbox and the join are unbounded there. A client that
    takes nothing for as long as `send_timeout_s` is dropped there without a close frame.
    """

    max_channels_per_transport: int = 100
    max_mailbox_messages: int = 1_000
    max_outbox_bytes: int = 4 * 1024 * 1024
    send_timeout_s: float = 30.0
    join_timeout_s: float = 60.0
    close_timeout_s: float = 5.0
    shutdown_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the limits. Raises ConfigError."""
        check_fields(self, _RULES)


_RULES: Final[Rules] = {
    "max_channels_per_transport": count("max_channels_per_transport=100", least=0),
    "max_mailbox_messages": count("max_mailbox_messages=1_000", least=0),
    "max_outbox_bytes": count("max_outbox_bytes=1_048_576", least=0),
    "send_timeout_s": seconds("send_timeout_s=30.0"),
    "join_timeout_s": seconds("join_timeout_s=60.0"),
    "close_timeout_s": seconds("close_timeout_s=5.0", zero=True),
    "shutdown_timeout_s": seconds("shutdown_timeout_s=10.0", zero=True),
}


@dataclass(slots=True)
class Counters:
    """How often something has happened since the endpoint was created.

    Attributes:
        sockets_connected: accepted connections.
        sockets_closed: ended connections, for whatever reason.
        slow_clients_closed: connections closed because the outbox was full, or because the client
            took nothing of it for too long.
        frames_timed_out: connections closed because a frame or message was not complete in time.
        frames_replaced: frames that a slow client did not get because a newer one replaced them.
        joins_timed_out: joins that took longer than `join_timeout_s`.
        mailboxes_overflowed: channels ended because their mailbox was full.
        channels_crashed: channels ended by an error.
        wrong_versions: messages of another version than the one that the client asked for; each
            ends a connection.
        invalid_payloads: joins and messages whose payload did not have the declared type.
        joins_accepted: joins that were answered with "ok".
        joins_refused: joins that `join` refused, of an unknown topic, or beyond the limit.
        joins_crashed: joins that an error ended, those that timed out included.
        channels_ended: joined channels that have ended, for whatever reason.
        idle_closed: connections closed because the client sent nothing for too long, not even a
            heartbeat.
        drained: connections closed because the server stopped.
    """

    sockets_connected: int = 0
    sockets_closed: int = 0
    slow_clients_closed: int = 0
    frames_timed_out: int = 0
    frames_replaced: int = 0
    joins_timed_out: int = 0
    mailboxes_overflowed: int = 0
    channels_crashed: int = 0
    wrong_versions: int = 0
    invalid_payloads: int = 0
    joins_accepted: int = 0
    joins_refused: int = 0
    joins_crashed: int = 0
    channels_ended: int = 0
    idle_closed: int = 0
    drained: int = 0
