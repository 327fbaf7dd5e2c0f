"""Parses a stream of server-sent events: bytes in, events out. No I/O.

The bytes may be split anywhere, also inside a character or a line end.

Source: WHATWG HTML, "9.2.6 Interpreting an event stream".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from phoenix_compat.errors import PhoenixCompatError

MAX_EVENT_BYTES: Final = 256 * 1024
"""The limit of one event. The whole text of a task may have as much."""

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class InvalidEventError(PhoenixCompatError):
    """The sender of the stream erred: an event is too long, or is not valid UTF-8."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event of a stream.

    Attributes:
        event: its name; "message" if it has none.
        data: its data lines, joined by line feeds.
        id: the id that it sets; None if it sets none.
    """

    event: str
    data: str
    id: str | None = None


class EventParser:
    """Parses one stream. After an error it must not be used again.

    Args:
        max_event_bytes: the limit of one event, in bytes.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()
        self._is_first_line = True
        self._skips_line_feed = False
        self._size_bytes = 0
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Parse the next bytes; returns the events that they complete.

        Raises:
            InvalidEventError: an event is longer than the limit, or is not valid UTF-8.
        """
        if self._skips_line_feed and data:
            # The carriage return before it has ended the line already.
            data = data.removeprefix(b"\n")
            self._skips_line_feed = False
        events: list[ServerSentEvent] = []
        *ended, rest = _LINE_END.split(data)
        for part in ended:
            self._line += part
            line, self._line = bytes(self._line), bytearray()
            if (event := self._read_line(line)) is not None:
                events.append(event)
        self._line += rest
        self._skips_line_feed = data.endswith(b"\r")
        self._check_size(len(self._line))
        return events

    def _read_line(self, line: bytes) -> ServerSentEvent | None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._dispatch()
        self._check_size(len(line))
        self._size_bytes += len(line)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InvalidEventError("the stream has an event that is not valid UTF-8") from error
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case _:
                pass  # a comment, `retry`, or a field of a later version
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent(self._event or "message", "\n".join(self._data), self._id)
        has_data = bool(self._data)
        self._event, self._data, self._id, self._size_bytes = "", [], None, 0
        return event if has_data else None

    def _check_size(self, more_bytes: int) -> None:
        if self._size_bytes + more_bytes > self._max_event_bytes:
            raise InvalidEventError(
                f"the stream has an event of more than {self._max_event_bytes} bytes"
            )
