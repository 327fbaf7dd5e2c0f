"""Checks what an endpoint and its sockets are given; every error names the line to write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from phoenix_compat.bounded import brief
from phoenix_compat.declarations.options import (
    Rule,
    Rules,
    check_options,
    flag,
    instance,
    optional,
    text,
    texts,
)
from phoenix_compat.endpoint.mounted_socket import MountedSocket
from phoenix_compat.endpoint.options import Drainer, LongPollOptions, TransportOptions
from phoenix_compat.errors import ChannelDefinitionError, ConfigError
from phoenix_compat.runtime.limits import Limits
from phoenix_compat.socket import SocketHandler

_HOST: Final = re.compile(r"[^\s/:@]+|[0-9A-Fa-f:.]+")
"""A name, or an IP address; an IPv6 address without brackets."""

_RULES: Final[Rules] = {
    "url_host": optional(
        Rule(
            lambda host: isinstance(host, str) and _HOST.fullmatch(host) is not None,
            'a host without scheme and port, such as url_host="chat.example.com"',
        )
    ),
    "host_setting": text('host_setting="url_host"'),
    "secret_key_base": optional(
        Rule(
            lambda secret: isinstance(secret, str | bytes),
            "a text of at least 20 bytes, such as secret_key_base=os.environ['SECRET_KEY_BASE']",
        )
    ),
    "limits": optional(instance(Limits, "limits=Limits(...)")),
    "filter_parameters": texts('filter_parameters=["ssn"]'),
    "bus": optional(
        Rule(
            lambda bus: callable(getattr(bus, "catch_up", None)),
            'a bus, such as bus=RedisBus("redis://127.0.0.1:6379")',
        )
    ),
}
_SOCKET_RULES: Final[Rules] = {
    # Other transports may have options of their own.
    "websocket": Rule(
        lambda value: (
            isinstance(value, bool)
            or (isinstance(value, TransportOptions) and not isinstance(value, LongPollOptions))
        ),
        "True, False or websocket=WebSocketOptions(...)",
    ),
    "longpoll": Rule(
        lambda value: isinstance(value, bool | LongPollOptions),
        "True, False or longpoll=LongPollOptions(...)",
    ),
    "auth_token": flag("auth_token"),
    "drainer": Rule(
        lambda value: isinstance(value, bool | Drainer),
        "True, False or drainer=Drainer(...)",
    ),
}


def check_endpoint(**options: Any) -> None:
    """Check the options of an endpoint. Raises ConfigError."""
    check_options("Endpoint", options, _RULES)


def check_socket(path: object, handler: Any, **options: Any) -> None:
    """Check the arguments of `endpoint.socket`.

    Raises:
        ChannelDefinitionError: the handler is not a class that can accept clients.
        ConfigError: the path or an option is invalid.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigError(
            f"the path of a socket is {brief(path)}, but must begin with '/': write "
            'endpoint.socket("/socket", UserSocket)'
        )
    _check_handler(handler)
    check_options(f"endpoint.socket({path!r}, {handler.__name__})", options, _SOCKET_RULES)


def _check_handler(handler: object) -> None:
    if isinstance(handler, SocketHandler):
        name = type(handler).__name__
        raise ChannelDefinitionError(
            f"endpoint.socket(path, {name}()): give the class, because each client gets an "
            f"instance of its own: write endpoint.socket(path, {name})"
        )
    if not (isinstance(handler, type) and issubclass(handler, SocketHandler)):
        raise ChannelDefinitionError(
            f"endpoint.socket(path, {brief(handler)}): the second argument is not a SocketHandler "
            "class: write `class UserSocket(SocketHandler)` with "
            'channels = {"room:*": RoomChannel}, and endpoint.socket(path, UserSocket)'
        )
    if handler.connect is SocketHandler.connect:
        raise ChannelDefinitionError(
            f"{handler.__name__} has no connect, so it would refuse every client: write "
            "`def connect(self, params, socket, connect_info): return ok()`"
        )


def check_session(options: TransportOptions) -> None:
    """Check that a session is protected by something. Raises ConfigError."""
    if options.session and not options.check_csrf and options.check_origin is False:
        raise ConfigError(
            f"{type(options).__name__}: with session and check_csrf=False, check_origin must "
            "not be False: any web page could use the sessions of its visitors. List the hosts "
            "of your pages in check_origin, or leave check_csrf on"
        )


def check_free(path: str, handler: type[SocketHandler], sockets: Iterable[MountedSocket]) -> None:
    """Check that no other socket has this path. Raises ConfigError."""
    shape = _shape(path)
    for socket in sockets:
        if any(_shape(f"{socket.path}/{other.path}") == shape for other in socket.transports):
            raise ConfigError(
                f"the path {'/' + '/'.join(_segments(path))!r} of {handler.__name__} is taken "
                f"by {socket.handler.__name__}, which would get all its clients: write "
                f'another one, such as endpoint.socket("/other", {handler.__name__})'
            )


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _shape(path: str) -> list[str]:
    """The segments of a path; all variables are the same."""
    return [":" if segment.startswith(":") else segment for segment in _segments(path)]
