"""Phoenix Channels for aiohttp: speaks the wire protocol of Phoenix 1.8 with any Phoenix client.

class RoomChannel(Channel):
    async def join(self, topic, payload, socket):
        return ok()

class UserSocket(SocketHandler):
    channels = {"room:*": RoomChannel}

    async def connect(self, params, socket, connect_info):
        return ok()

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)
mount(app, endpoint)
"""

from __future__ import annotations

from importlib import import_module

from phoenix_compat.version import __version__

TYPE_CHECKING = False  # type checkers know the name; typing itself takes half of the import
if TYPE_CHECKING:
    from typing import Any, Final

    from phoenix_compat.channel import Channel, on, on_join
    from phoenix_compat.cluster import Cluster
    from phoenix_compat.cluster.brokers import NatsBus, PostgresBus, RedisBus
    from phoenix_compat.csrf import csrf_token
    from phoenix_compat.endpoint import Drainer, Endpoint, LongPollOptions, WebSocketOptions
    from phoenix_compat.errors import (
        CallbackError,
        ChannelDefinitionError,
        ConfigError,
        EncodeError,
        NotJoinedError,
        PhoenixCompatError,
        WrongThreadError,
    )
    from phoenix_compat.presence import Guest, Presence
    from phoenix_compat.protocol.message import JSON, Broadcast, Message, Payload
    from phoenix_compat.protocol.origin import CONN, SAME_HOST, Origin
    from phoenix_compat.protocol.token import (
        ExpiredTokenError,
        InvalidTokenError,
        MissingTokenError,
        TokenError,
    )
    from phoenix_compat.pubsub import PubSub
    from phoenix_compat.result import HandleResult, Reason, Result, Stop, error, ok, reply, stop
    from phoenix_compat.runtime.limits import Counters, Limits
    from phoenix_compat.socket import ConnectInfo, ReplyRef, Socket, SocketHandler
    from phoenix_compat.token import Tokens
    from phoenix_compat.transports.aiohttp import mount

__all__ = [
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

_NAMES_BY_MODULE: Final = {
    "channel": ("Channel", "on", "on_join"),
    "cluster": ("Cluster",),
    "cluster.brokers": ("NatsBus", "PostgresBus", "RedisBus"),
    "csrf": ("csrf_token",),
    "endpoint": ("Drainer", "Endpoint", "LongPollOptions", "WebSocketOptions"),
    "errors": (
        *("CallbackError", "ChannelDefinitionError", "ConfigError", "EncodeError"),
        *("NotJoinedError", "PhoenixCompatError", "WrongThreadError"),
    ),
    "presence": ("Guest", "Presence"),
    "protocol.message": ("JSON", "Broadcast", "Message", "Payload"),
    "protocol.origin": ("CONN", "SAME_HOST", "Origin"),
    "protocol.token": (
        *("ExpiredTokenError", "InvalidTokenError", "MissingTokenError", "TokenError"),
    ),
    "pubsub": ("PubSub",),
    "result": ("HandleResult", "Reason", "Result", "Stop", "error", "ok", "reply", "stop"),
    "runtime.limits": ("Counters", "Limits"),
    "socket": ("ConnectInfo", "ReplyRef", "Socket", "SocketHandler"),
    "token": ("Tokens",),
    "transports.aiohttp": ("mount",),
}
"""The module of each public name. A module is imported on first use: importing aiohttp would take
most of the time of a short command such as `phoenix-compat --version`."""

_MODULE_BY_NAME: Final = {
    name: module for module, names in _NAMES_BY_MODULE.items() for name in names
}


def __getattr__(name: str) -> Any:
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
