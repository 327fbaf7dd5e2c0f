"""The limits of a client, and the checks of its options."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from phoenix_compat.errors import ConfigError

Vsn: TypeAlias = Literal["1.0.0", "2.0.0"]
Transport: TypeAlias = Literal["websocket", "longpoll"]
Params: TypeAlias = Mapping[str, Any]
ConnectParams: TypeAlias = Params | Callable[[], Params | Awaitable[Params]]
"""The params, or a function that is called at each connect; it may be a coroutine function."""
AuthToken: TypeAlias = str | Callable[[], str | Awaitable[str | None] | None]
"""The token, or a function that returns it at each connect; with None none is sent."""

RECONNECT_AFTER_S: Final = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Source: phoenix.js 1.8, socket.js, reconnectAfterMs."""
REJOIN_AFTER_S: Final = (1.0, 2.0, 5.0, 10.0)
"""Source: phoenix.js 1.8, socket.js, rejoinAfterMs."""
JITTER: Final = 0.25
HEARTBEAT_INTERVAL_S: Final = 30.0
TIMEOUT_S: Final = 10.0
POLL_TIMEOUT_S: Final = 20.0
"""Source: phoenix.js 1.8, socket.js, longpollerTimeout."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The bounds of a client; each has a policy, and a counter in `ClientCounters`.

    Attributes:
        max_message_bytes: the size of a message from the server; a larger one closes the
            connection with 1009, and the client reconnects (`connections_lost`).
        max_queued_messages: what a channel keeps for `async for`; if there are more, the oldest is
            dropped (`messages_dropped`).
        max_queued_bytes: the same, in bytes of received frames.
        max_buffered_pushes: pushes of a channel that wait for its join; the next one raises
            BufferFullError (`pushes_refused`).
        max_pending_pushes: pushes of a channel that wait for a reply; the same.
        max_unsent_bytes: what waits to be written to the connection; the same.
        max_pending_diffs: presence diffs that wait for a presence_state; the oldest is dropped
            (`diffs_dropped`).
    """

    max_message_bytes: int = 10_000_000
    max_queued_messages: int = 1_000
    max_queued_bytes: int = 8 * 1024 * 1024
    max_buffered_pushes: int = 100
    max_pending_pushes: int = 1_000
    max_unsent_bytes: int = 1024 * 1024
    max_pending_diffs: int = 1_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"ClientLimits: {field.name} must be an integer of 1 or more")


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """What channels need of their client's options; durations in seconds."""

    timeout_s: float
    rejoin_after_s: Sequence[float]
    jitter: float
    limits: ClientLimits


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raises ConfigError unless the value is one of a Literal's."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ConfigError(f"Client: {name} must be one of {', '.join(map(repr, allowed))}")


def check_seconds(name: str, value: object) -> None:
    """Raises ConfigError unless the value is a positive, finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < float(str(value)) < math.inf:
        raise ConfigError(f"Client: {name} must be a positive number of seconds")


def check_waits(name: str, values: object) -> None:
    """Raises ConfigError unless it is a sequence of waits."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(
            f"Client: {name} must be a sequence of seconds, such as (1.0, 2.0, 5.0); the last one"
            " is repeated"
        )
    for value in values:
        check_seconds(name, value)


def check_jitter(value: object) -> None:
    """Raises ConfigError unless the jitter is a part of a wait."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= float(str(value)) <= 1:
        raise ConfigError("Client: jitter must be a number from 0 to 1")
