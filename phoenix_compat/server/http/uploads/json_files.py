"""Takes the files out of the JSON body of a task while it arrives. No I/O.

    {"input_data": {"prompt": "…", "image": "data:image/jpeg;base64,…"}}

The text of a `data:` URL where a model takes a file goes to a sink, and a placeholder takes its
place in the body. All that is left of the body is short, and read as JSON at the end.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, Protocol

import msgspec

from phoenix_compat.tasks.model.inputs.file_inputs import is_data_url_head, is_file_name

_MAX_HEAD_BYTES: Final = 400
_MAX_NAME_BYTES: Final = 1_000
_MAX_DEPTH: Final = 3
"""Of a place where a file may be: input_data, its name, and an index."""
_STRUCTURE: Final = re.compile(rb'["{}\[\]:,]')
_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CUT_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_ESCAPED: Final = {b"/": b"/", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_QUOTE: Final = ord('"')
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_INVALID: Final = b"\\"
"""Stands for what JSON does not allow; no base64 has it."""


class FileSink(Protocol):
    """Takes the parts of a body."""

    def rest(self, content: bytes) -> None:
        """A part of the body without files."""
        ...

    def begin_file(self, field: str, head: str) -> bytes:
        """A file begins. Returns its placeholder, which JSON can have without escapes.

        Args:
            field: where it is, as "input_data.image" or "input_data.images.0".
            head: the `data:` URL up to its comma.
        """
        ...

    def file_text(self, text: bytes) -> None:
        """The next part of the text of the `data:` URL, after its comma."""
        ...

    def end_file(self) -> None:
        """The file is complete."""
        ...


class _Mode(Enum):
    OUTSIDE = auto()
    NAME = auto()
    HEAD = auto()
    TEXT = auto()
    FILE = auto()


class _Level:
    """An object or an array that is open.

    Attributes:
        name: the last name in an object; None if it is too long.
        index: the place in an array.
    """

    __slots__ = ("index", "is_object", "name", "wants_name")

    def __init__(self, *, is_object: bool) -> None:
        self.is_object = is_object
        self.wants_name = is_object
        self.name: str | None = None
        self.index = 0


class JSONFiles:
    """Reads one body. What is not valid JSON is left for the parser of the rest."""

    def __init__(self, sink: FileSink) -> None:
        self._sink = sink
        self._levels: list[_Level] = []
        self._mode = _Mode.OUTSIDE
        self._pending = b""
        self._cut = b""
        self._is_escaping = False
        self._readers = {
            _Mode.OUTSIDE: self._read_outside,
            _Mode.NAME: self._read_name,
            _Mode.HEAD: self._read_head,
            _Mode.TEXT: self._read_text,
            _Mode.FILE: self._read_file,
        }

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the body. Raises what the sink raises."""
        at = 0
        while at < len(data):
            at = self._readers[self._mode](data, at)

    def _read_outside(self, data: bytes, start: int) -> int:
        for found in _STRUCTURE.finditer(data, start):
            if found[0] == b'"':
                self._sink.rest(data[start : found.end()])
                self._mode = self._mode_of_string()
                self._pending = b""
                return found.end()
            self._read_structure(found[0])
        self._sink.rest(data[start:])
        return len(data)

    def _read_structure(self, mark: bytes) -> None:
        if mark in b"{[":
            self._levels.append(_Level(is_object=mark == b"{"))
        elif not self._levels:
            return
        elif mark in b"}]":
            self._levels.pop()
        elif mark == b":":
            self._levels[-1].wants_name = False
        else:
            self._levels[-1].wants_name = self._levels[-1].is_object
            self._levels[-1].index += 1

    def _mode_of_string(self) -> _Mode:
        if self._levels and self._levels[-1].wants_name:
            return _Mode.NAME
        return _Mode.HEAD if self._field() is not None else _Mode.TEXT

    def _field(self) -> str | None:
        """Where the next value is, if that may be a file."""
        levels = self._levels
        if not 2 <= len(levels) <= _MAX_DEPTH or levels[0].name != "input_data":
            return None
        name = levels[1].name
        if not levels[0].is_object or name is None or not is_file_name(name):
            return None
        if len(levels) == 2:
            return f"input_data.{name}"
        return None if levels[2].is_object else f"input_data.{name}.{levels[2].index}"

    def _read_name(self, data: bytes, start: int) -> int:
        end, is_over = self._end_of_string(data, start)
        if len(self._pending) <= _MAX_NAME_BYTES:
            self._pending += data[start:end]
        if is_over:
            self._levels[-1].name = _name(self._pending)
        return self._pass_on(data[start:end], end, is_over=is_over)

    def _read_head(self, data: bytes, start: int) -> int:
        end, is_over = self._end_of_string(data, start)
        self._pending += data[start:end]
        head, comma, text = self._pending.partition(b",")
        if not (comma or is_over or len(head) > _MAX_HEAD_BYTES):
            return end
        field, url = self._field(), _decoded(head)
        if not comma or field is None or url is None or not is_data_url_head(url):
            self._mode = _Mode.TEXT
            return self._pass_on(self._pending, end, is_over=is_over)
        self._sink.rest(self._sink.begin_file(field, url))
        self._mode = _Mode.FILE
        return self._take(text, end, is_over=is_over)

    def _read_text(self, data: bytes, start: int) -> int:
        end, is_over = self._end_of_string(data, start)
        return self._pass_on(data[start:end], end, is_over=is_over)

    def _read_file(self, data: bytes, start: int) -> int:
        end, is_over = self._end_of_string(data, start)
        return self._take(data[start:end], end, is_over=is_over)

    def _take(self, text: bytes, end: int, *, is_over: bool) -> int:
        """Hand on a part of a file, which ends here if `is_over`."""
        self._sink.file_text(self._unescaped(text, is_over=is_over))
        if is_over:
            self._sink.end_file()
        return self._pass_on(b"", end, is_over=is_over)

    def _pass_on(self, content: bytes, end: int, *, is_over: bool) -> int:
        """Hand on a part of a string, which ends here if `is_over`; returns where to read on."""
        if not is_over:
            self._sink.rest(content)
            return end
        self._sink.rest(content + b'"')
        self._mode = _Mode.OUTSIDE
        return end + 1

    def _end_of_string(self, data: bytes, start: int) -> tuple[int, bool]:
        """Where the string ends, or the data; and whether that is the end of the string."""
        if self._is_escaping:
            self._is_escaping = False
            start += 1
        found = _STRING.match(data, start)
        end = start if found is None else found.end()
        if end < len(data) and data[end] == _QUOTE:
            return end, True
        self._is_escaping = end < len(data)
        return len(data), False

    def _unescaped(self, text: bytes, *, is_over: bool) -> bytes:
        if not self._cut and b"\\" not in text:
            return _without_controls(text)
        text = self._cut + text
        cut = None if is_over else _CUT_ESCAPE.search(text)
        end = len(text) if cut is None else cut.start()
        self._cut = text[end:]
        return _ESCAPE.sub(_character, _without_controls(text[:end]))


def _without_controls(text: bytes) -> bytes:
    return text if _CONTROL.search(text) is None else _INVALID


def _character(escape: re.Match[bytes]) -> bytes:
    code, letter = escape.groups()
    if code is not None:
        number = int(code, 16)
        return bytes((number,)) if number < 128 else _INVALID
    return _ESCAPED.get(letter, _INVALID)


def _decoded(text: bytes) -> str | None:
    """The text of a string in JSON; None if it is not valid."""
    try:
        return str(msgspec.json.decode(b'"' + text + b'"'))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _name(text: bytes) -> str | None:
    return None if len(text) > _MAX_NAME_BYTES else _decoded(text)
