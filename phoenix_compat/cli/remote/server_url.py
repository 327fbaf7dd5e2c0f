"""Checks options and arguments that take the URL of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import click

_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})


def server_url(example: str) -> Callable[..., str | None]:
    """A callback that checks a URL and removes the slashes at its end.

    Args:
        example: a URL for the error message.
    """

    def check(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            is_good = bool(parts.scheme in _SCHEMES and parts.hostname and parts.port != 0)
        except ValueError:  # the port is not a number, or too large
            is_good = False
        if not is_good:
            raise click.BadParameter(f"{value!r} is not the URL of a server; write {example}")
        return value.rstrip("/")

    return check
