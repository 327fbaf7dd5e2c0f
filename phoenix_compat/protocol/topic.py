"""Finds the channel for a topic: by exact patterns and prefixes, of which the first match wins.

Source: phoenix 1.8.12, lib/phoenix/socket.ex, channel/3 and to_topic_match/1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from phoenix_compat.errors import ChannelDefinitionError

T = TypeVar("T")

MAX_TOPIC_BYTES: Final = 255
"""The longest topic, and event, that a binary message can have."""


class TopicRoutes(Generic[T]):
    """An ordered table from topic patterns to channels.

    `room:lobby` matches only itself. `room:*` matches every topic that begins with `room:`,
    including `room:`. A `*` is allowed only at the end.
    """

    __slots__ = ("_routes",)

    def __init__(self, routes: Iterable[tuple[str, T]]) -> None:
        self._routes: list[tuple[str, bool, T]] = []
        for pattern, target in routes:
            prefix, star, rest = pattern.partition("*")
            if rest:
                raise ChannelDefinitionError(
                    f"topic pattern {pattern!r}: '*' is allowed only at the end, as in 'room:*'"
                )
            self._routes.append((prefix, bool(star), target))

    def match(self, topic: object) -> T | None:
        """The target of the first matching pattern; None for topics that are not strings."""
        if not isinstance(topic, str):
            return None
        for prefix, is_prefix, target in self._routes:
            if topic.startswith(prefix) if is_prefix else topic == prefix:
                return target
        return None
