"""Erlang's external term format, restricted to plain data.

    nil true false     None True False          tuple            tuple
    any other atom     Atom, a str              list             list, proper lists only
    integer, float     int, float               charlist 'ab'    [97, 98], as in Erlang
    binary             str; bytes if it is      map              dict with str keys
                       not UTF-8

Functions, pids, references, ports, bitstrings, improper lists, atoms of a node's cache and the
local format of one VM are never read, however they are wrapped. Limits apply to the depth, the
number of terms, the size of integers (1 KiB), and the bytes before and after decompression. A
length field alone never causes an allocation.

Differs from Phoenix: bytes after the term are refused, and so are maps with keys that are equal in
Python (`1` and `1.0`; `:a` and `"a"`), because here one text must have exactly one value.

Start with `term`. The limits there apply to both `reader` and `writer`.

Source: the format is Erlang's, erts "External Term Format"; checked against OTP 25.
"""

from phoenix_compat.protocol.erlang_term.reader import decode, normalise
from phoenix_compat.protocol.erlang_term.term import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER_BYTES,
    MAX_LONG_KEYS,
    MAX_TERMS,
    Atom,
    Term,
    TermError,
)
from phoenix_compat.protocol.erlang_term.writer import AtomForm, encode

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_INTEGER_BYTES",
    "MAX_LONG_KEYS",
    "MAX_TERMS",
    "Atom",
    "AtomForm",
    "Term",
    "TermError",
    "decode",
    "encode",
    "normalise",
]
