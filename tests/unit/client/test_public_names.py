"""The public names of the client."""

from __future__ import annotations

import phoenix_compat.client

PUBLIC = [
    "BufferFullError",
    "ChannelClosedError",
    "Client",
    "ClientChannel",
    "ClientCounters",
    "ClientError",
    "ClientLimits",
    "ConnectError",
    "JoinError",
    "JoinTimeoutError",
    "Message",
    "MisuseError",
    "Presence",
    "PushError",
    "PushLostError",
    "PushTimeoutError",
    "new_session",
]


def test_the_public_names() -> None:
    """Adding or removing a name is a decision, so the names are listed here too."""
    assert phoenix_compat.client.__all__ == PUBLIC


def test_every_public_name_is_there() -> None:
    """Every name in `__all__` can be imported."""
    assert [name for name in PUBLIC if not hasattr(phoenix_compat.client, name)] == []
