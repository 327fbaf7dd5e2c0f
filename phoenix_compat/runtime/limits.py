"""What bounds one server, and how often a bound was met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one client can make a server hold.

    Attributes:
        max_channels_per_transport: joined topics per connection; one more is refused.
        max_mailbox_messages: messages waiting for one channel; one more ends the channel.
        max_outbox_bytes: bytes written to a client that does not read; past it the connection is
            closed with 1013.
        join_timeout_s: how long `join` may take; then the join is answered "join crashed".
        close_timeout_s: how long a client may take to answer a close.
        shutdown_timeout_s: how long callbacks may take to end when the server stops.

    Differs from Phoenix: the mailbox, the outbox and the join are unbounded there.
    """

    max_channels_per_transport: int = 100
    max_mailbox_messages: int = 1_000
    max_outbox_bytes: int = 4 * 1024 * 1024
    join_timeout_s: float = 60.0
    close_timeout_s: float = 5.0
    shutdown_timeout_s: float = 10.0


@dataclass(slots=True)
class Counters:
    """How often something happened since the endpoint was made.

    Attributes:
        sockets_connected: connections accepted.
        sockets_closed: connections ended, for whatever reason.
        slow_clients_closed: connections closed because the outbox was full.
        frames_replaced: frames that a slow client did not hear because a newer one replaced them.
        joins_timed_out: joins that took longer than `join_timeout_s`.
        mailboxes_overflowed: channels ended because their mailbox was full.
        channels_crashed: channels ended by an error.
    """

    sockets_connected: int = 0
    sockets_closed: int = 0
    slow_clients_closed: int = 0
    frames_replaced: int = 0
    joins_timed_out: int = 0
    mailboxes_overflowed: int = 0
    channels_crashed: int = 0
