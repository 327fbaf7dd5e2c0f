"""Erlang's external term format, as far as values that are data go.

    nil true false     None True False          tuple            tuple
    any other atom     Atom, a str              list             list, all of it
    integer, float     int, float               charlist 'ab'    [97, 98], as Erlang has it
    binary             str; bytes when it is    map              dict, its keys str
                       not UTF-8

Never read, however they are wrapped: functions, pids, references, ports, bitstrings, improper
lists, atoms of a node's cache and the local format of one VM. What is read is bounded in depth, in
the number of terms and in bytes, before and after inflating; nothing is allocated on the word of
a length field alone.

Differs from Phoenix: bytes after the term, and maps whose keys are one and the same in Python
(`1` and `1.0`; `:a` and `"a"`), are refused, because here one text must mean one value.

Source: the format is Erlang's, erts "External Term Format"; checked against OTP 25.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TypeAlias

from phoenix_compat.errors import EncodeError, ProtocolError

Term: TypeAlias = Any
"""A value as the table above has it."""

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_TERMS: Final = 10_000
"""The bounds, in both directions: what this module writes it also reads."""

_VERSION: Final = 131
_COMPRESSED: Final = 80
_MAX_ATOM_CHARACTERS: Final = 255
_MAX_CHARLIST: Final = 0xFFFF


class TermError(ProtocolError):
    """Bytes that are no term, or one that is not read here."""


class Atom(str):
    """An atom other than nil, true and false; equal to its text.

    JSON is written of plain str only: put `str(atom)` into a payload.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Atom({str(self)!r})"


# Reading


def decode(data: bytes, *, is_raw: bool = False) -> Term:
    """Read one term.

    Args:
        data: the version byte 131 and the term, perhaps compressed.
        is_raw: whether to leave binaries as bytes, and the keys of maps as they are. Only then is
            a binary that happens to be UTF-8 told from a text, and `:a` from `"a"`.

    Raises:
        TermError: no term, one that is not read, or one beyond the bounds.
    """
    if len(data) > MAX_BYTES:
        raise TermError(f"a term of {len(data)} bytes; the limit is {MAX_BYTES}")
    if data[:1] != bytes([_VERSION]):
        raise TermError("a term begins with the byte 131")
    body = data[1:]
    reader = _Reader(_inflate(body[1:]) if body[:1] == bytes([_COMPRESSED]) else body)
    term = reader.term(MAX_DEPTH)
    if reader.at != len(reader.data):
        raise TermError("bytes follow the term")
    return term if is_raw else normalise(term)


def normalise(term: Term) -> Term:
    """Make of a raw term what Python code likes: texts and dicts with str keys.

    Raises:
        TermError: two keys of a map become one.
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
            return _ATOM_TEXTS[key]
        case Atom():
            return str(key)
        case bytes():
            return _text(key)
        case _:
            return key


_ATOM_VALUES: Final = {"nil": None, "true": True, "false": False}
_ATOM_TEXTS: Final = {value: text for text, value in _ATOM_VALUES.items()}


def _dict(pairs: Iterable[tuple[Term, Term]]) -> dict[Term, Term]:
    found: dict[Term, Term] = {}
    for key, value in pairs:
        if key in found:
            raise TermError("two keys of a map are the same")
        found[key] = value
    return found


def _inflate(data: bytes) -> bytes:
    size = int.from_bytes(data[:4])
    if size > MAX_BYTES:
        raise TermError(f"a compressed term of {size} bytes; the limit is {MAX_BYTES}")
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data[4:], size + 1)
    except zlib.error as error:
        raise TermError("a compressed term that does not inflate") from error
    if len(inflated) != size or not inflater.eof or inflater.unused_data:
        raise TermError("a compressed term is not as long as it says")
    return inflated


class _Reader:
    """Where reading stands, and how many terms have been read."""

    __slots__ = ("at", "data", "terms")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.terms = 0

    def term(self, depth: int) -> Term:
        if depth == 0:
            raise TermError(f"terms within terms, more than {MAX_DEPTH} deep")
        self.count(1)
        tag = self.number(1)
        read = _READ.get(tag)
        if read is None:
            raise TermError(f"a term of kind {tag} is not read here")
        return read(self, depth - 1)

    def count(self, terms: int) -> None:
        self.terms += terms
        if self.terms > MAX_TERMS:
            raise TermError(f"more than {MAX_TERMS} terms")

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise TermError("the term ends too early")
        return self.data[start : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def sized(self, size: int) -> bytes:
        """The bytes behind a length field of so many bytes."""
        return self.take(self.number(size))

    def terms_of(self, count: int, depth: int) -> list[Term]:
        return [self.term(depth) for _ in range(count)]


def _read_signed(reader: _Reader, _depth: int) -> int:
    return int.from_bytes(reader.take(4), signed=True)


def _read_big(length_size: int) -> Callable[[_Reader, int], int]:
    def read(reader: _Reader, _depth: int) -> int:
        size = reader.number(length_size)
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
        raise TermError("a float whose text is none")
    return _finite(float(text))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TermError("a float that is infinite or no number")
    return value


def _read_atom(length_size: int, encoding: str) -> Callable[[_Reader, int], Term]:
    def read(reader: _Reader, _depth: int) -> Term:
        try:
            text = reader.sized(length_size).decode(encoding)
        except UnicodeDecodeError as error:
            raise TermError("an atom that is not UTF-8") from error
        if len(text) > _MAX_ATOM_CHARACTERS:
            raise TermError(f"an atom of more than {_MAX_ATOM_CHARACTERS} characters")
        return _ATOM_VALUES[text] if text in _ATOM_VALUES else Atom(text)

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


_NIL_TAG: Final = 106


def _read_list(reader: _Reader, depth: int) -> list[Term]:
    items = reader.terms_of(reader.number(4), depth)
    if reader.number(1) != _NIL_TAG:
        raise TermError("a list that does not end in the empty list")
    return items


def _read_map(reader: _Reader, depth: int) -> dict[Term, Term]:
    size = reader.number(4)
    return _dict((_plain_key(reader.term(depth)), reader.term(depth)) for _ in range(size))


def _plain_key(key: Term) -> Term:
    if isinstance(key, (list, tuple, dict)):
        raise TermError("a key of a map that is no atom, binary or number")
    return key


_READ: Final[dict[int, Callable[[_Reader, int], Term]]] = {
    70: _read_float,
    97: lambda reader, _depth: reader.number(1),
    98: _read_signed,
    99: _read_float_text,
    100: _read_atom(2, "latin-1"),
    104: _read_tuple(1),
    105: _read_tuple(4),
    _NIL_TAG: lambda _reader, _depth: [],
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


# Writing

AtomForm: TypeAlias = Literal["utf-8", "latin-1"]
"""How atoms are written: as OTP 26 and newer does, or as OTP 25 and older does. All read both."""


def encode(term: Term, *, atoms: AtomForm = "utf-8") -> bytes:
    """Write one term, byte for byte as `:erlang.term_to_binary/1` does.

    A str is written as a binary; for an atom give an `Atom`. The keys of a map stand in Erlang's
    order of terms; in Erlang that holds up to 32 keys, and for atoms as keys up to OTP 25. Beyond
    it the order is a VM's own; every reader takes any.

    Raises:
        EncodeError: a value that has no term (a set, NaN, a lone surrogate), or beyond the bounds.
    """
    data = bytes([_VERSION]) + _Writer(atoms).term(term, MAX_DEPTH)
    if len(data) > MAX_BYTES:
        raise EncodeError(f"a term of {len(data)} bytes; the limit is {MAX_BYTES}")
    return data


class _Writer:
    """How atoms are written, and how many terms have been."""

    __slots__ = ("atoms", "terms")

    def __init__(self, atoms: AtomForm) -> None:
        self.atoms = atoms
        self.terms = 0

    def term(self, term: Term, depth: int) -> bytes:
        self.terms += 1
        if depth == 0 or self.terms > MAX_TERMS:
            raise EncodeError(f"terms more than {MAX_DEPTH} deep, or more than {MAX_TERMS} of them")
        match term:
            case None | bool():
                return self.write_atom(_ATOM_TEXTS[term])
            case int():
                return _write_integer(term)
            case float():
                return _write_float(term)
            case Atom():
                return self.write_atom(term)
            case str():
                return _write_binary(_utf8(term))
            case bytes():
                return _write_binary(term)
            case list() | tuple() | dict():
                return self.write_collection(term, depth - 1)
            case _:
                raise EncodeError(f"{type(term).__name__} has no Erlang term")

    def write_collection(
        self, term: list[Term] | tuple[Term, ...] | dict[Term, Term], depth: int
    ) -> bytes:
        match term:
            case list():
                return self.write_list(term, depth)
            case tuple():
                head = bytes([104, len(term)]) if len(term) < 256 else _head(105, len(term))
                return head + self.terms_of(term, depth)
            case _:
                return self.write_map(term, depth)

    def terms_of(self, terms: Iterable[Term], depth: int) -> bytes:
        return b"".join([self.term(term, depth) for term in terms])

    def write_list(self, items: list[Term], depth: int) -> bytes:
        if not items:
            return bytes([_NIL_TAG])
        if len(items) <= _MAX_CHARLIST and all(map(_is_byte, items)):
            self.terms += len(items)
            if self.terms > MAX_TERMS:
                raise EncodeError(f"more than {MAX_TERMS} terms")
            return bytes([107]) + len(items).to_bytes(2) + bytes(items)
        return _head(108, len(items)) + self.terms_of(items, depth) + bytes([_NIL_TAG])

    def write_map(self, term: dict[Term, Term], depth: int) -> bytes:
        pairs = sorted(
            (*_rank(key), self.term(key, depth), self.term(value, depth))
            for key, value in term.items()
        )
        keys = [key for _, _, key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise EncodeError("two keys of a dict are the same Erlang term")
        return _head(116, len(pairs)) + b"".join([key + value for _, _, key, value in pairs])

    def write_atom(self, text: str) -> bytes:
        if len(text) > _MAX_ATOM_CHARACTERS:
            raise EncodeError(f"an atom has at most {_MAX_ATOM_CHARACTERS} characters")
        if self.atoms == "latin-1" and all(character <= "\xff" for character in text):
            return bytes([100]) + len(text).to_bytes(2) + text.encode("latin-1")
        data = _utf8(text)
        if len(data) < 256:
            return bytes([119, len(data)]) + data
        return bytes([118]) + len(data).to_bytes(2) + data


def _rank(key: Term) -> tuple[int, Term]:
    """Where a key stands in Erlang's order: integers, floats, atoms, binaries."""
    match key:
        case None | bool():
            return 2, _ATOM_TEXTS[key].encode()
        case int():
            return 0, key
        case float():
            return 1, key
        case Atom():
            return 2, _utf8(key)
        case str():
            return 3, _utf8(key)
        case bytes():
            return 3, key
        case _:
            raise EncodeError("a key of a dict is an atom, a text, bytes or a number")


def _is_byte(item: Term) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 256


def _head(tag: int, size: int) -> bytes:
    return struct.pack(">BI", tag, size)


def _write_integer(value: int) -> bytes:
    if 0 <= value < 256:
        return bytes([97, value])
    if -(1 << 31) <= value < 1 << 31:
        return bytes([98]) + value.to_bytes(4, signed=True)
    magnitude = abs(value)
    size = (magnitude.bit_length() + 7) // 8
    head = bytes([110, size]) if size < 256 else _head(111, size)
    return head + bytes([value < 0]) + magnitude.to_bytes(size, "little")


def _write_float(value: float) -> bytes:
    if not math.isfinite(value):
        raise EncodeError(f"{value} has no Erlang term")
    return bytes([70]) + struct.pack(">d", value)


def _write_binary(data: bytes) -> bytes:
    return _head(109, len(data)) + data


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("a lone surrogate has no Erlang term") from error
