"""The public names of the package."""

from __future__ import annotations

import phoenix_compat

PUBLIC = [
    "CONN",
    "JSON",
    "SAME_HOST",
    "Broadcast",
    "CallbackError",
    "Channel",
    "ChannelDefinitionError",
    "Cluster",
    "ConfigError",
    "ConnectInfo",
    "Counters",
    "Drainer",
    "EncodeError",
    "Endpoint",
    "ExpiredTokenError",
    "Guest",
    "HandleResult",
    "InvalidTokenError",
    "Limits",
    "LongPollOptions",
    "Message",
    "MissingTokenError",
    "NatsBus",
    "NotJoinedError",
    "Origin",
    "Payload",
    "PhoenixCompatError",
    "PostgresBus",
    "Presence",
    "PubSub",
    "Reason",
    "RedisBus",
    "ReplyRef",
    "Result",
    "Socket",
    "SocketHandler",
    "Stop",
    "TokenError",
    "Tokens",
    "WebSocketOptions",
    "WrongThreadError",
    "__version__",
    "csrf_token",
    "error",
    "mount",
    "ok",
    "on",
    "on_join",
    "reply",
    "stop",
]


def test_the_public_names() -> None:
    """Adding or removing a name is a decision, so the names are listed here too."""
    assert sorted(phoenix_compat.__all__) == sorted(PUBLIC)


def test_every_public_name_is_there() -> None:
    """Every name in `__all__` can be imported."""
    missing = [name for name in phoenix_compat.__all__ if not hasattr(phoenix_compat, name)]

    assert missing == []


def test_what_users_write_is_documented() -> None:
    """Every public class and function has a docstring."""
    silent = [
        name
        for name in phoenix_compat.__all__
        if callable(value := getattr(phoenix_compat, name)) and not value.__doc__
    ]

    assert silent == []


def test_every_error_is_one_tree() -> None:
    """`except PhoenixCompatError` catches every error that is raised on purpose."""
    errors = [
        value
        for name in phoenix_compat.__all__
        if isinstance(value := getattr(phoenix_compat, name), type) and issubclass(value, Exception)
    ]

    assert len(errors) >= 6
    assert all(issubclass(error, phoenix_compat.PhoenixCompatError) for error in errors)
