"""The options of a mounted socket: one class for each transport, and one for draining."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from phoenix_compat.declarations.options import (
    Rule,
    Rules,
    check_fields,
    count,
    either,
    flag,
    function,
    is_pairs,
    optional,
    seconds,
    text,
    texts,
)
from phoenix_compat.protocol.origin import CheckOrigin
from phoenix_compat.protocol.serializer import DEFAULT_SERIALIZERS, Serializer


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """The options that every transport of a socket has.

    Attributes:
        path: the end of the URL's path; `:name` segments capture params.
        check_origin: which web pages may connect; None uses the endpoint's setting.
        serializers: serializers with the versions they serve, in order of preference.
        connect_info: more entries for the `connect_info` that `connect` gets, or a function that
            makes them for each connection. It gets the framework's request (aiohttp's, or the scope
            of ASGI) and returns a mapping; it may be `async def`. Its entries replace those of the
            same name.
        cookies: whether `connect` gets the cookies of the request, as a dict in
            `connect_info["cookies"]`. A page of another site can open a socket with the cookies of
            a user; `check_origin` is what stops it.
        session: True puts the session of aiohttp_session or of Starlette's SessionMiddleware into
            `connect_info["session"]`, as a dict. A function gets the framework's request and
            returns the session or None; it may be `async def`. The value is None unless the client
            proves by the parameter `_csrf_token` that it comes from a page of yours; see
            `csrf_token`.
        check_csrf: whether the session needs that parameter. Without it `check_origin` must be on.
        csrf_token_key: where the session has the secret behind the token.
        headers: names of further request headers that `connect` gets, as
            `connect_info["headers"]`, such as "authorization". Headers that begin with "x-" are in
            `connect_info["x_headers"]` in any case.
    """

    transport: ClassVar[str]
    path: str
    check_origin: CheckOrigin | None = None
    serializers: Sequence[tuple[Serializer, str]] = DEFAULT_SERIALIZERS
    connect_info: Mapping[str, Any] | Callable[[Any], Any] = field(default_factory=dict)
    headers: Sequence[str] = ()
    cookies: bool = False
    session: bool | Callable[[Any], Any] = False
    check_csrf: bool = True
    csrf_token_key: str = "_csrf_token"  # noqa: S105 - a key

    def __post_init__(self) -> None:
        """Check the options. Raises ConfigError."""
        check_fields(self, {**_TRANSPORT_RULES, **self._rules()})

    def _rules(self) -> Rules:
        """The rules of the options that the other transports do not have."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketOptions(TransportOptions):
    """How a socket is served over websocket.

    Attributes:
        timeout_s: a client that sends nothing for this time is closed with 1002.
        max_frame_bytes: the limit for one frame with its header; a longer one is closed with 1009.
        max_message_bytes: the limit for all fragments of one message together; more is closed with
            1009.
        frame_timeout_s: a frame or a fragmented message that has begun must be complete within this
            time, or the client is closed with 1002; frames between the fragments do not extend it.
            None, as in Phoenix, is no limit: a client that sends a byte now and then may take as
            long as it likes. Set it where clients are not trusted.
        subprotocols: the names to choose from; None ignores what clients offer.
        error_handler: turns the reason of an `error(reason)` from `connect` into an HTTP response.
            It gets aiohttp's request and the reason, and returns an aiohttp response. Under ASGI it
            gets the scope and the reason, and returns an ASGI application (any response of
            Starlette is one) or an `asgi.HttpResponse`, and may be `async def`. None sends an empty
            403.

    Source: phoenix 1.8.12, lib/phoenix/transports/websocket.ex, default_config/0.
    """

    transport: ClassVar[str] = "websocket"
    path: str = "/websocket"
    timeout_s: float = 60.0
    max_frame_bytes: int = 10_000_000
    max_message_bytes: int = 8_000_000
    frame_timeout_s: float | None = None
    subprotocols: Sequence[str] | None = None
    error_handler: Callable[[Any, Any], Any] | None = None

    def _rules(self) -> Rules:
        return _WEBSOCKET_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPollOptions(TransportOptions):
    """How a socket is served over long-polling.

    Attributes:
        window_s: how long a poll waits for messages, and how long a posted message waits for the
            session. A session that is not polled for one and a half windows ends.
        token_max_age_s: how long a session's token is valid.
        max_body_bytes: the limit for the body of one POST; a longer one is HTTP 400.
        max_batch_messages: how many messages of one POST are handled; the rest is ignored, as in
            Phoenix.

    Source: phoenix 1.8.12, lib/phoenix/transports/long_poll.ex, default_config/0 and publish/4.
    """

    transport: ClassVar[str] = "longpoll"
    path: str = "/longpoll"
    window_s: float = 10.0
    token_max_age_s: float = 1_209_600.0
    max_body_bytes: int = 8_000_000
    max_batch_messages: int = 100

    def _rules(self) -> Rules:
        return _LONGPOLL_RULES


@dataclass(frozen=True, slots=True)
class Drainer:
    """How clients with joined channels are disconnected when the server stops.

    They are closed with 1012 in batches, so that they do not all reconnect at the same moment.

    Attributes:
        batch_size: clients per batch.
        batch_interval_s: the wait between two batches.
        shutdown_s: the limit for all batches; the remaining clients are then closed at once.

    Source: phoenix 1.8.12, lib/phoenix/socket/pool_supervisor.ex, terminate/2.
    """

    batch_size: int = 10_000
    batch_interval_s: float = 2.0
    shutdown_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the options. Raises ConfigError."""
        check_fields(self, _DRAINER_RULES)


_TRANSPORT_RULES: Final[Rules] = {
    "path": Rule(lambda path: isinstance(path, str), 'a text, such as path="/websocket"'),
    "serializers": Rule(
        lambda value: is_pairs(value, lambda one: hasattr(one, "decode"), _is_text) and bool(value),
        'a list of pairs, such as serializers=[(V2, "~> 2.0.0")]',
    ),
    "connect_info": Rule(
        lambda value: isinstance(value, Mapping) or callable(value),
        'a dict, such as connect_info={"region": "eu"}, or a function of the request',
    ),
    "headers": texts('headers=["authorization"]'),
    "cookies": flag("cookies"),
    "session": either(flag("session"), function("session=session_of_request")),
    "check_csrf": flag("check_csrf"),
    "csrf_token_key": text('csrf_token_key="_csrf_token"'),
}
_WEBSOCKET_RULES: Final[Rules] = {
    "timeout_s": seconds("timeout_s=60.0"),
    "max_frame_bytes": count("max_frame_bytes=65_536"),
    "max_message_bytes": count("max_message_bytes=65_536"),
    "frame_timeout_s": optional(seconds("frame_timeout_s=30.0")),
    "subprotocols": optional(texts('subprotocols=["phoenix"]')),
    "error_handler": optional(function("error_handler=answer_refusal")),
}
_LONGPOLL_RULES: Final[Rules] = {
    "window_s": seconds("window_s=10.0"),
    "token_max_age_s": seconds("token_max_age_s=86_400.0"),
    "max_body_bytes": count("max_body_bytes=262_144"),
    "max_batch_messages": count("max_batch_messages=100"),
}
_DRAINER_RULES: Final[Rules] = {
    "batch_size": count("batch_size=1_000"),
    "batch_interval_s": seconds("batch_interval_s=2.0", zero=True),
    "shutdown_s": seconds("shutdown_s=30.0", zero=True),
}


def _is_text(value: object) -> bool:
    return isinstance(value, str)
