"""Logs connects, joins and events in Phoenix's format, with secrets filtered.

Source: phoenix 1.8.12, lib/phoenix/logger.ex.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from phoenix_compat.bounded import bounded_copy, plain
from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import Message
from phoenix_compat.redaction import CREDENTIAL_WORDS, FILTERED, is_credential

log = logging.getLogger("phoenix_compat.socket")

is_logged: Final = log.isEnabledFor
"""Whether lines of a level are logged; checked before a line is formatted."""


def filter_parameters(value: Any, words: Sequence[str] = CREDENTIAL_WORDS) -> Any:
    """A shortened copy of JSON that hides the values of keys that look like credentials.

    Differs from Phoenix: its default hides "password" and "token" in lower case. This hides every
    word of CREDENTIAL_WORDS in any case, because apps also send `userToken` and `apikey`; and
    `filter_parameters` adds words to them, where Phoenix's option replaces its default.

    Args:
        words: what the names of credentials contain; case-folded.
    """
    return bounded_copy(value, lambda key: is_credential(key, words), FILTERED)


def log_connect(  # noqa: PLR0913 - a log line of six values
    level: int | None,
    *,
    is_accepted: bool,
    handler: str,
    transport: str,
    serializer: str,
    params: Any,
    took_s: float,
    words: Sequence[str] = CREDENTIAL_WORDS,
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
            filter_parameters(params, words),
        )


def log_join(  # noqa: PLR0913 - a log line of five values
    channel: Channel,
    *,
    is_accepted: bool,
    topic: str,
    payload: Any,
    took_s: float,
    words: Sequence[str] = CREDENTIAL_WORDS,
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
            filter_parameters(payload, words),
        )


def log_handled(
    channel: Channel, message: Message, words: Sequence[str] = CREDENTIAL_WORDS
) -> None:
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
            filter_parameters(message.payload, words),
        )


def duration(took_s: float) -> str:
    """A duration as Phoenix prints it: `420µs`, `12ms`."""
    micros = round(took_s * 1_000_000)
    return f"{micros}µs" if micros < 1_000 else f"{micros // 1_000}ms"
