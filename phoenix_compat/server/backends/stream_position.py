"""How far a client has read the events of a task: what an event's `id` says. No I/O.

    id: <state>-<units>-<text>    three numbers, two of them checksums in hex

A client that comes back sends the id of its last event as `Last-Event-ID`. By it the server knows,
without remembering anything and in any process, whether the client has the present state, and
whether the text that it has is the beginning of the present one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self
from zlib import crc32

import msgspec

from phoenix_compat.tasks.model.task import Task, progress_payload

_ID: Final = re.compile(r"([0-9a-f]{8})-(\d{1,9})-([0-9a-f]{8})", re.ASCII)
_BYTES_PER_UNIT: Final = 2


class Position(NamedTuple):
    """What a client has.

    Attributes:
        state: the checksum of the last state.
        units: the length of the text in UTF-16 code units.
        text: the checksum of the text.
    """

    state: int = 0
    units: int = 0
    text: int = 0

    @classmethod
    def of(cls, event_id: str) -> Self:
        """The position that an id stands for; that of a client with nothing, if it is not an id."""
        found = _ID.fullmatch(event_id)
        return cls() if found is None else cls(int(found[1], 16), int(found[2]), int(found[3], 16))

    @property
    def event_id(self) -> str:
        """The id of the event after which a client is there."""
        return f"{self.state:08x}-{self.units}-{self.text:08x}"

    def with_state(self, task: Task) -> Self:
        """The position after an event with the state of this task."""
        return self._replace(state=state_checksum(task))

    def with_text(self, start: int, part: str) -> Self:
        """The position after an event with a part of the text, which begins after `start` units."""
        data = _utf16(part)
        before = self.text if start else 0
        return self._replace(units=start + len(data) // _BYTES_PER_UNIT, text=crc32(data, before))

    def missing(self, text: str) -> tuple[int, str]:
        """Where the part begins that the client lacks of a text, in units; and this part.

        A client that has another text, or a longer one, lacks all of it.
        """
        data = _utf16(text)
        size_bytes = self.units * _BYTES_PER_UNIT
        if size_bytes > len(data) or crc32(data[:size_bytes]) != self.text:
            return 0, text
        return self.units, data[size_bytes:].decode("utf-16-le", "surrogatepass")


def state_checksum(task: Task) -> int:
    """A number for what clients are told of a task, the same in every process."""
    return crc32(msgspec.json.encode(progress_payload(task)))


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
