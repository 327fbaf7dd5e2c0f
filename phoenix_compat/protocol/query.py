"""Parses query strings as Plug does.

`+` is a space, the last of equal names wins, `a[b]=1` nests, `l[]=1` makes a list, a name without a
value has the value "", and empty segments are skipped. Percent signs that do not start a valid
escape are left unchanged.

Names that contradict each other (`a=1&a[b]=2`) have the outcome that Plug's algorithm gives them:

- Every prefix of a name that is followed by a bracket (`a`, `a[b]`) has one table. It is attached
  to its own table when it is made, and never again: `a[b]=1&a=2&a[c]=3` leaves `a` at "2".
- A table is a list if its newest entry has empty brackets, and a dict otherwise. Only the entries
  of that kind count; but a table under empty brackets that ended up in a dict has the name "nil".

Source: plug 1.19.2, lib/plug/conn/query.ex, decode_each/2 and decode_done/2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from phoenix_compat.bounded import brief

ParamValue: TypeAlias = "str | list[ParamValue] | Params"
Params: TypeAlias = dict[str, ParamValue]
"""The parameters by name: text, or nested lists and dicts of text."""


_UNNAMED: Final = "nil"
"""How Jason writes Elixir's nil, which Plug uses as the name for empty brackets."""
_MAX_DEPTH: Final = 100
_MAX_SHOWN_CHARS: Final = 100


class BadQueryError(ValueError):
    """The query is not UTF-8, or a name is nested too deep; the response is HTTP 400."""


@dataclass(slots=True)
class _Table:
    """The entries of one prefix, oldest first. A key of None stands for empty brackets."""

    entries: list[tuple[str | None, str | _Table]] = field(default_factory=list)

    def finish(self) -> ParamValue:
        """The list or dict that the entries make."""
        if self.entries and self.entries[-1][0] is None:
            return [_finished(value) for key, value in self.entries if key is None]
        return self.finish_dict()

    def finish_dict(self) -> Params:
        """The dict that the entries make; the last of equal keys wins."""
        return {
            _UNNAMED if key is None else key: _finished(value)
            for key, value in self.entries
            if key is not None or isinstance(value, _Table)
        }


def _finished(value: str | _Table) -> ParamValue:
    return value if isinstance(value, str) else value.finish()


def decode_query(query: str) -> Params:
    """Parse the part of a URL after the question mark.

    Raises:
        BadQueryError: a name or value is not UTF-8, or a name has too many brackets.
    """
    if query.isascii() and not ("%" in query or "+" in query or "[" in query):  # as most are
        pairs = [segment.partition("=") for segment in query.split("&") if segment]
        return {name: value for name, _, value in pairs}
    root = _Table()
    tables: dict[tuple[str | None, ...], _Table] = {(): root}
    for segment in query.split("&"):
        if segment:
            name, _, value = segment.partition("=")
            _put(tables, _split_name(_unquote(name)), _unquote(value))
    return root.finish_dict()


def _unquote(text: str) -> str:
    if text.isascii() and "%" not in text:
        return text.replace("+", " ")
    data = text.replace("+", " ").encode("utf-8", "surrogateescape")
    try:
        return unquote_to_bytes(data).decode()
    except UnicodeDecodeError as error:
        shown = brief(text, _MAX_SHOWN_CHARS)
        raise BadQueryError(f"invalid UTF-8 in the query string: {shown}") from error


def _split_name(name: str) -> tuple[str | None, ...]:
    """Split `a[b][]` into `("a", "b", None)`; unpaired brackets belong to the name."""
    head, bracket, rest = name.partition("[")
    if not bracket or not head or not rest.endswith("]"):
        return (name,)
    path = (head, *(part or None for part in rest[:-1].split("][")))
    if len(path) > _MAX_DEPTH:
        raise BadQueryError(f"a name in the query is nested more than {_MAX_DEPTH} levels deep")
    return path


def _put(
    tables: dict[tuple[str | None, ...], _Table], path: tuple[str | None, ...], value: str
) -> None:
    """Add an entry to the table of its prefix; a new table becomes an entry of the next one."""
    entry: str | _Table = value
    for size in range(len(path) - 1, -1, -1):
        table = tables.get(path[:size])
        if table is not None:
            table.entries.append((path[size], entry))
            return
        tables[path[:size]] = entry = _Table([(path[size], entry)])
