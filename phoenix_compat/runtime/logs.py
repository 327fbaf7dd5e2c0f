"""Logs connects, joins and events in Phoenix's format, with secrets filtered.

Source: phoenix 1.8.12, lib/phoenix/logger.ex.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from phoenix_compat.bounded import bounded_copy, plain
from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import Message

log = logging.getLogger("phoenix_compat.socket")

is_logged: Final = log.isEnabledFor
"""Whether lines of a level are logged; checked before a line is formatted."""

SECRETS: Final = ("auth", "jwt", "key", "password", "secret", "session", "token")
"""Words in the names of credentials, in any case."""
FILTERED: Final = "[FILTERED]"


def filter_parameters(value: Any) -> Any:
    """A shortened copy of JSON that hides the values of keys that look like credentials.

    Differs from Phoenix: its default hides "password" and "token" in lower case. This hides every
    word of SECRETS in any case, because apps also send `userToken` and `apikey`.
    """
    return bounded_copy(value, _is_secret, FILTERED)


def _is_secret(key: str) -> bool:
    lowered = key.lower()
    return any(word in lowered for word in SECRETS)


def log_connect(  # noqa: PLR0913 - a log line of six values
    level: int | None,
    *,
    is_accepted: bool,
    handler: str,
    transport: str,
    serializer: str,
    params: Any,
    took_s: float,
) -> None:
    """Log `CONNECTED TO` or `REFUSED CONNECTION TO` a socket."""
    if level is not None and log.isEnabledFor(level):
        log.log(
            level,
            "%s %s in %s\n  Transport: :%s\n  Serializer: %s\n  Parameters: %r",
            "CONNECTED TO" if is_accepted else "REFUSED CONNECTION TO",
            handler,
            duration(took_s),
            transport,
            serializer,
            filter_parameters(params),
        )


def log_join(
    channel: Channel, *, is_accepted: bool, topic: str, payload: Any, took_s: float
) -> None:
    """Log `JOINED` or `REFUSED JOIN`, except for topics that begin with "phoenix"."""
    level = channel.log_join
    if level is not None and log.isEnabledFor(level) and not topic.startswith("phoenix"):
        log.log(
            level,
            "%s %s in %s\n  Parameters: %r",
            "JOINED" if is_accepted else "REFUSED JOIN",
            plain(topic),
            duration(took_s),
            filter_parameters(payload),
        )


def log_handled(channel: Channel, message: Message) -> None:
    """Log `HANDLED` for an incoming event.

    Differs from Phoenix: the line is written before the event is handled and has no duration,
    because measuring it would slow down every event.
    """
    if channel.log_handle_in is not None and not message.topic.startswith("phoenix"):
        log.log(
            channel.log_handle_in,
            "HANDLED %s INCOMING ON %s (%s)\n  Parameters: %r",
            plain(message.event),
            plain(message.topic),
            type(channel).__name__,
            filter_parameters(message.payload),
        )


def duration(took_s: float) -> str:
    """A duration as Phoenix prints it: `420µs`, `12ms`."""
    micros = round(took_s * 1_000_000)
    return f"{micros}µs" if micros < 1_000 else f"{micros // 1_000}ms"
