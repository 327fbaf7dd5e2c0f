"""Writes Erlang terms."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.erlang_term.term import (
    ATOM_TEXTS,
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
    is_long_key,
)

_MAX_CHARLIST: Final = 0xFFFF

AtomForm: TypeAlias = Literal["utf-8", "latin-1"]
"""How atoms are written: "utf-8" as OTP 26 and newer, "latin-1" as OTP 25 and older. All versions
read both."""


def encode(term: Term, *, atoms: AtomForm = "utf-8") -> bytes:
    """Write one term, byte for byte as `:erlang.term_to_binary/1` does.

    A str is written as a binary; use `Atom` for an atom. The keys of a map are in Erlang's term
    order. Erlang itself does this for up to 32 keys, and for atom keys up to OTP 25; otherwise its
    order depends on the VM. Readers accept any order.

    Raises:
        EncodeError: a value cannot be a term (a set, NaN, a lone surrogate), or a limit is
            exceeded.
    """
    data = bytes([VERSION_BYTE]) + _Writer(atoms).term(term, MAX_DEPTH)
    if len(data) > MAX_BYTES:
        raise EncodeError(f"a term of {len(data)} bytes; the limit is {MAX_BYTES}")
    return data


class _Writer:
    """The form of atoms, and how much was written so far."""

    __slots__ = ("atoms", "long_keys", "terms")

    def __init__(self, atoms: AtomForm) -> None:
        self.atoms = atoms
        self.terms = 0
        self.long_keys = 0

    def term(self, term: Term, depth: int) -> bytes:
        self.terms += 1
        if depth == 0 or self.terms > MAX_TERMS:
            raise EncodeError(
                f"terms are nested more than {MAX_DEPTH} levels deep, or more than {MAX_TERMS}"
            )
        match term:
            case None | bool():
                return self.write_atom(ATOM_TEXTS[term])
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
                raise EncodeError(f"{type(term).__name__} cannot be an Erlang term")

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
            return bytes([NIL_TAG])
        if len(items) <= _MAX_CHARLIST and all(map(_is_byte, items)):
            self.terms += len(items)
            if self.terms > MAX_TERMS:
                raise EncodeError(f"there are more than {MAX_TERMS} terms")
            return bytes([107]) + len(items).to_bytes(2) + bytes(items)
        return _head(108, len(items)) + self.terms_of(items, depth) + bytes([NIL_TAG])

    def write_map(self, term: dict[Term, Term], depth: int) -> bytes:
        self.long_keys += sum(map(is_long_key, term))
        if self.long_keys > MAX_LONG_KEYS:
            raise EncodeError(f"more than {MAX_LONG_KEYS} keys of dicts are long integers")
        pairs = sorted(
            (*_rank(key), self.term(key, depth), self.term(value, depth))
            for key, value in term.items()
        )
        keys = [key for _, _, key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise EncodeError("two keys of a dict are the same Erlang term")
        return _head(116, len(pairs)) + b"".join([key + value for _, _, key, value in pairs])

    def write_atom(self, text: str) -> bytes:
        if len(text) > MAX_ATOM_CHARACTERS:
            raise EncodeError(f"an atom has more than {MAX_ATOM_CHARACTERS} characters")
        if self.atoms == "latin-1" and all(character <= "\xff" for character in text):
            return bytes([100]) + len(text).to_bytes(2) + text.encode("latin-1")
        data = _utf8(text)
        if len(data) < 256:
            return bytes([119, len(data)]) + data
        return bytes([118]) + len(data).to_bytes(2) + data


def _rank(key: Term) -> tuple[int, Term]:
    """The sort key of a map key in Erlang's term order: integers, floats, atoms, binaries."""
    match key:
        case None | bool():
            return 2, ATOM_TEXTS[key].encode()
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
            raise EncodeError("a key of a dict must be an atom, a str, bytes or a number")


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
    if size > MAX_INTEGER_BYTES:
        raise EncodeError(f"an integer of {size} bytes; the limit is {MAX_INTEGER_BYTES}")
    head = bytes([110, size]) if size < 256 else _head(111, size)
    return head + bytes([value < 0]) + magnitude.to_bytes(size, "little")


def _write_float(value: float) -> bytes:
    if not math.isfinite(value):
        raise EncodeError(f"{value} cannot be an Erlang term")
    return bytes([70]) + struct.pack(">d", value)


def _write_binary(data: bytes) -> bytes:
    return _head(109, len(data)) + data


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("a lone surrogate cannot be in an Erlang term") from error
