"""Parses query strings as Plug does.

`+` is a space, the last of equal names wins, `a[b]=1` nests, `l[]=1` makes a list, a name without a
value has the value "", and empty segments are skipped. Percent signs that do not start a valid
escape are left unchanged.

Source: plug 1.19, lib/plug/conn/query.ex, decode/4.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from phoenix_compat.bounded import brief

Params: TypeAlias = dict[str, "str | list[Params | str] | Params"]
"""The parameters by name: text, or nested lists and dicts of text."""


_MAX_DEPTH: Final = 100
_MAX_SHOWN_CHARS: Final = 100


class BadQueryError(ValueError):
    """The query is not UTF-8, or a name is nested too deep; the response is HTTP 400."""


def decode_query(query: str) -> Params:
    """Parse the part of a URL after the question mark.

    Raises:
        BadQueryError: a name or value is not UTF-8, or a name has too many brackets.
    """
    params: Params = {}
    for segment in query.split("&"):
        if segment:
            name, _, value = segment.partition("=")
            _put(params, _split_name(_unquote(name)), _unquote(value))
    return params


def _unquote(text: str) -> str:
    data = text.replace("+", " ").encode("utf-8", "surrogateescape")
    try:
        return unquote_to_bytes(data).decode()
    except UnicodeDecodeError as error:
        shown = brief(text, _MAX_SHOWN_CHARS)
        raise BadQueryError(f"invalid UTF-8 in the query string: {shown}") from error


def _split_name(name: str) -> list[str]:
    """Split `a[b][]` into `["a", "b", ""]`; unpaired brackets belong to the name."""
    head, bracket, rest = name.partition("[")
    if not bracket or not head or not rest.endswith("]"):
        return [name]
    path = [head, *rest[:-1].split("][")]
    if len(path) > _MAX_DEPTH:
        raise BadQueryError(f"a name in the query is nested more than {_MAX_DEPTH} levels deep")
    return path


def _put(params: Params, path: list[str], value: str) -> None:
    name, *rest = path
    if not rest:
        params[name] = value
        return
    if rest[0] == "":
        found = params.get(name)
        items = found if isinstance(found, list) else []
        params[name] = items
        _append(items, rest[1:], value)
        return
    found = params.get(name)
    inner: Params = found if isinstance(found, dict) else {}
    params[name] = inner
    _put(inner, rest, value)


def _append(items: list[Params | str], path: list[str], value: str) -> None:
    if not path:
        items.append(value)
        return
    inner: Params = {}
    _put(inner, path, value)
    items.append(inner)
