"""Reads Erlang terms."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Final

from phoenix_compat.protocol.erlang_term.term import (
    ATOM_TEXTS,
    ATOM_VALUES,
    MAX_ATOM_CHARACTERS,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER_BYTES,
    MAX_LONG_KEYS,
    MAX_TERMS,
    NIL_TAG,
    VERSION_BYTE,
    Atom,
    Term,
    TermError,
    is_long_key,
)

_COMPRESSED: Final = 80


def decode(data: bytes, *, is_raw: bool = False) -> Term:
    """Read one term.

    Args:
        data: the version byte 131 and the term, which may be compressed.
        is_raw: whether to leave binaries as bytes and the keys of maps unchanged. Otherwise a
            binary that is valid UTF-8 becomes a text, and `:a` and `"a"` become the same key.

    Raises:
        TermError: the data is not a term, or not a supported one, or exceeds a limit.
    """
    if len(data) > MAX_BYTES:
        raise TermError(f"a term of {len(data)} bytes; the limit is {MAX_BYTES}")
    if data[:1] != bytes([VERSION_BYTE]):
        raise TermError("the term does not begin with the version byte 131")
    body = data[1:]
    reader = _Reader(_decompress(body[1:]) if body[:1] == bytes([_COMPRESSED]) else body)
    term = reader.term(MAX_DEPTH)
    if reader.position != len(reader.data):
        raise TermError("there are bytes after the term")
    return term if is_raw else normalise(term)


def normalise(term: Term) -> Term:
    """Convert a raw term: binaries that are UTF-8 become str, and so do atoms as keys of maps.

    Raises:
        TermError: two keys of a map become equal.
    """
    match term:
        case bytes():
            return _text(term)
        case list():
            return [normalise(item) for item in term]
        case tuple():
            return tuple(normalise(item) for item in term)
        case dict():
            return _dict((_key(key), normalise(value)) for key, value in term.items())
        case _:
            return term


def _text(binary: bytes) -> str | bytes:
    try:
        return binary.decode()
    except UnicodeDecodeError:
        return binary


def _key(key: Term) -> Term:
    match key:
        case None | bool():
            return ATOM_TEXTS[key]
        case Atom():
            return str(key)
        case bytes():
            return _text(key)
        case _:
            return key


def _dict(pairs: Iterable[tuple[Term, Term]]) -> dict[Term, Term]:
    result: dict[Term, Term] = {}
    for key, value in pairs:
        if key in result:
            raise TermError("two keys of a map are the same")
        result[key] = value
    return result


def _decompress(data: bytes) -> bytes:
    size = int.from_bytes(data[:4])
    if size > MAX_BYTES:
        raise TermError(f"a compressed term of {size} bytes; the limit is {MAX_BYTES}")
    decompressor = zlib.decompressobj()
    try:
        decompressed = decompressor.decompress(data[4:], size + 1)
    except zlib.error as error:
        raise TermError("a compressed term cannot be decompressed") from error
    if len(decompressed) != size or not decompressor.eof or decompressor.unused_data:
        raise TermError("the length field of a compressed term is wrong")
    return decompressed


class _Reader:
    """The data, the current position in it, and how much was read so far."""

    __slots__ = ("data", "long_keys", "position", "terms")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.terms = 0
        self.long_keys = 0

    def term(self, depth: int) -> Term:
        if depth == 0:
            raise TermError(f"terms are nested more than {MAX_DEPTH} levels deep")
        self.count(1)
        tag = self.number(1)
        read = _READ.get(tag)
        if read is None:
            raise TermError(f"terms with tag {tag} are not supported")
        return read(self, depth - 1)

    def count(self, terms: int) -> None:
        self.terms += terms
        if self.terms > MAX_TERMS:
            raise TermError(f"there are more than {MAX_TERMS} terms")

    def key(self, depth: int) -> Term:
        """A key of a map."""
        key = self.term(depth)
        if isinstance(key, (list, tuple, dict)):
            raise TermError("a key of a map is not an atom, a binary or a number")
        self.long_keys += is_long_key(key)
        if self.long_keys > MAX_LONG_KEYS:
            raise TermError(f"more than {MAX_LONG_KEYS} keys of maps are long integers")
        return key

    def take(self, size: int) -> bytes:
        start, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise TermError("the term is truncated")
        return self.data[start : self.position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def sized(self, size: int) -> bytes:
        """The bytes after a length field; `size` is the size of that field in bytes."""
        return self.take(self.number(size))

    def terms_of(self, count: int, depth: int) -> list[Term]:
        return [self.term(depth) for _ in range(count)]


def _read_signed(reader: _Reader, _depth: int) -> int:
    return int.from_bytes(reader.take(4), signed=True)


def _read_big(length_size: int) -> Callable[[_Reader, int], int]:
    def read(reader: _Reader, _depth: int) -> int:
        size = reader.number(length_size)
        if size > MAX_INTEGER_BYTES:
            raise TermError(f"an integer of {size} bytes; the limit is {MAX_INTEGER_BYTES}")
        is_negative = reader.number(1) != 0
        value = int.from_bytes(reader.take(size), "little")
        return -value if is_negative else value

    return read


def _read_float(reader: _Reader, _depth: int) -> float:
    (value,) = struct.unpack(">d", reader.take(8))
    return _finite(value)


_FLOAT_TEXT: Final = re.compile(rb"[+-]?\d+\.\d+(?:[eE][+-]?\d+)?")


def _read_float_text(reader: _Reader, _depth: int) -> float:
    text = reader.take(31).rstrip(b"\0")
    if not _FLOAT_TEXT.fullmatch(text):
        raise TermError("the text of a float is not a number")
    return _finite(float(text))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TermError("a float is infinite or not a number")
    return value


def _read_atom(length_size: int, encoding: str) -> Callable[[_Reader, int], Term]:
    def read(reader: _Reader, _depth: int) -> Term:
        try:
            text = reader.sized(length_size).decode(encoding)
        except UnicodeDecodeError as error:
            raise TermError("an atom is not UTF-8") from error
        if len(text) > MAX_ATOM_CHARACTERS:
            raise TermError(f"an atom has more than {MAX_ATOM_CHARACTERS} characters")
        return ATOM_VALUES[text] if text in ATOM_VALUES else Atom(text)

    return read


def _read_binary(reader: _Reader, _depth: int) -> bytes:
    return reader.sized(4)


def _read_tuple(length_size: int) -> Callable[[_Reader, int], tuple[Term, ...]]:
    def read(reader: _Reader, depth: int) -> tuple[Term, ...]:
        return tuple(reader.terms_of(reader.number(length_size), depth))

    return read


def _read_charlist(reader: _Reader, _depth: int) -> list[int]:
    characters = reader.sized(2)
    reader.count(len(characters))
    return list(characters)


def _read_list(reader: _Reader, depth: int) -> list[Term]:
    items = reader.terms_of(reader.number(4), depth)
    if reader.number(1) != NIL_TAG:
        raise TermError("a list does not end with the empty list")
    return items


def _read_map(reader: _Reader, depth: int) -> dict[Term, Term]:
    size = reader.number(4)
    return _dict((reader.key(depth), reader.term(depth)) for _ in range(size))


_READ: Final[dict[int, Callable[[_Reader, int], Term]]] = {
    70: _read_float,
    97: lambda reader, _depth: reader.number(1),
    98: _read_signed,
    99: _read_float_text,
    100: _read_atom(2, "latin-1"),
    104: _read_tuple(1),
    105: _read_tuple(4),
    NIL_TAG: lambda _reader, _depth: [],
    107: _read_charlist,
    108: _read_list,
    109: _read_binary,
    110: _read_big(1),
    111: _read_big(4),
    115: _read_atom(1, "latin-1"),
    116: _read_map,
    118: _read_atom(2, "utf-8"),
    119: _read_atom(1, "utf-8"),
}
