"""Splits messages that are too long for a broker, and joins them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from phoenix_compat.cluster.brokers.messages import HEADER_BYTES, Part, Sender

_MARGIN_BYTES: Final = HEADER_BYTES + 64
"""The header of a part, and its numbers."""
_MIN_PART_BYTES: Final = 256

Key: TypeAlias = tuple[int, int, str]
"""The node, its epoch and the subject: the parts of one message come on one subject, in order."""


def split(sender: Sender, number: int, data: bytes, max_payload_bytes: int) -> Iterator[bytes]:
    """Yield the encoded parts of a message, none longer than the limit."""
    size = max(max_payload_bytes - _MARGIN_BYTES, _MIN_PART_BYTES)
    count = -(-len(data) // size)
    for index in range(count):
        chunk = data[index * size : (index + 1) * size]
        yield sender.pack(Part(number, index, count, chunk))


@dataclass(slots=True)
class _Unfinished:
    """The parts of a message that have arrived."""

    number: int
    size_bytes: int = 0
    chunks: list[bytes] = field(default_factory=list)


class Joiner:
    """Joins the parts of messages. One whose parts do not all come, in order, is dropped.

    Args:
        max_bytes: the limit of what all unfinished messages have together.

    Attributes:
        dropped: how many messages were dropped.
    """

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._unfinished: dict[Key, _Unfinished] = {}

    def add(self, key: Key, part: Part) -> bytes | None:
        """Add a part; return the message if this was its last one."""
        found = self._unfinished.get(key)
        if found is not None and (part.number, part.index) != (found.number, len(found.chunks)):
            self._drop(key)
            found = None
        if found is None:
            if part.index != 0:
                return None  # the first parts are lost, or were dropped here
            found = self._unfinished[key] = _Unfinished(part.number)
        found.chunks.append(part.data)
        found.size_bytes += len(part.data)
        self._size_bytes += len(part.data)
        if len(found.chunks) == part.count:
            self._remove(key)
            return b"".join(found.chunks)
        if self._size_bytes > self._max_bytes:
            self._drop(key)
        return None

    def discard(self, node: int) -> None:
        """Drop what a node has not finished."""
        for key in tuple(self._unfinished):
            if key[0] == node:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        self.dropped += 1
        self._remove(key)

    def _remove(self, key: Key) -> None:
        self._size_bytes -= self._unfinished.pop(key).size_bytes
