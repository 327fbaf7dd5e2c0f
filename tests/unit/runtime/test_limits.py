"""The limits for one client: their defaults, and which values are allowed."""

from __future__ import annotations

from dataclasses import asdict

from phoenix_compat import Limits


def test_the_defaults() -> None:
    """What one client can make the server hold, unless told otherwise."""
    assert asdict(Limits()) == {
        "max_channels_per_transport": 100,
        "max_mailbox_messages": 1_000,
        "max_outbox_bytes": 4_194_304,
        "send_timeout_s": 30.0,
        "join_timeout_s": 60.0,
        "close_timeout_s": 5.0,
        "shutdown_timeout_s": 10.0,
    }


def test_what_may_be_nothing() -> None:
    """No channels, no mailbox, no backlog; a close or a shutdown that waits for nobody."""
    nothing = {
        "max_channels_per_transport": 0,
        "max_mailbox_messages": 0,
        "max_outbox_bytes": 0,
        "close_timeout_s": 0.0,
        "shutdown_timeout_s": 0.0,
    }

    limits = Limits(
        max_channels_per_transport=0,
        max_mailbox_messages=0,
        max_outbox_bytes=0,
        close_timeout_s=0.0,
        shutdown_timeout_s=0.0,
    )

    assert {name: asdict(limits)[name] for name in nothing} == nothing
