"""What the reader and the writer of Erlang terms share: atoms, limits and tags."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from phoenix_compat.errors import ProtocolError

Term: TypeAlias = Any
"""A Python value for a term; see the table of the package."""

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_TERMS: Final = 10_000
MAX_INTEGER_BYTES: Final = 1_024
"""Python prints every integer of this size; by default it refuses to print more than 4300 digits.
"""
MAX_LONG_KEYS: Final = 256
"""How many keys of maps may be integers of more than 64 bits. Such integers can be chosen so that
all have the same hash, and a dict with thousands of them is slow.

The same limits hold for reading and writing, so everything that is written can be read."""

VERSION_BYTE: Final = 131
NIL_TAG: Final = 106
MAX_ATOM_CHARACTERS: Final = 255


def is_long_key(key: Term) -> bool:
    """Whether a key of a map counts for MAX_LONG_KEYS."""
    return isinstance(key, int) and key.bit_length() > 64


class TermError(ProtocolError):
    """The bytes are not a term, or not a supported one."""


class Atom(str):
    """An atom other than nil, true and false; equal to its text.

    The JSON encoder accepts only plain str: put `str(atom)` into a payload.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Atom({str(self)!r})"


ATOM_VALUES: Final = {"nil": None, "true": True, "false": False}
ATOM_TEXTS: Final = {value: text for text, value in ATOM_VALUES.items()}
