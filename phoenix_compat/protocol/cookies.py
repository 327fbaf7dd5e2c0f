"""Reads Cookie headers as Plug does.

Source: plug 1.19.2, lib/plug/conn/cookies.ex, decode/1; lib/plug/conn.ex, fetch_cookies/2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SPACE_IN_NAME: Final = frozenset(" \t\r\n\v\f")
_SPACE_IN_VALUE: Final = frozenset("\t\r\n\v\f")


def decode_cookies(headers: Iterable[str]) -> dict[str, str]:
    """The cookies of a request, by name; values are as the client sent them.

    A browser sends the cookie of the longest path first, so the first one of a name counts. A pair
    that is not a cookie is ignored.

    Args:
        headers: the request's Cookie headers. A cookie of a later one replaces that of an earlier.
    """
    cookies: dict[str, str] = {}
    for header in headers:
        cookies.update(reversed(list(_pairs(header))))
    return cookies


def _pairs(header: str) -> Iterable[tuple[str, str]]:
    for pair in header.split(";"):
        name, equals, value = pair.lstrip(" \t").partition("=")
        if not (equals and name) or not _SPACE_IN_NAME.isdisjoint(name):
            continue
        if _SPACE_IN_VALUE.isdisjoint(value):
            yield name, value.rstrip(" ")
