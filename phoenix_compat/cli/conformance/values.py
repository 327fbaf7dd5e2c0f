"""Values of options that several of these commands take, and the files they write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from phoenix_compat.cli.errors import CommandError

OUTPUT_FILE: Final = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
"""A file to write; `-` is standard output."""

_UNITS_S: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)(ms|s|m|h|)", re.ASCII)


def duration(max_s: float) -> Callable[..., float | None]:
    """A callback that reads a duration such as 500ms, 30s, 10m or 1h, as seconds.

    A number alone is in seconds.

    Args:
        max_s: the longest that is accepted.
    """

    def read(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        found = _DURATION.fullmatch(value)
        if found is None:
            raise click.BadParameter(f"{value!r} is not a duration; write 30s, 10m or 1h")
        duration_s = float(found[1]) * _UNITS_S[found[2]]
        if not 0.0 < duration_s <= max_s:
            raise click.BadParameter(f"{value!r} is not more than 0 and at most {max_s:g} s")
        return duration_s

    return read


def write_output(path: Path, text: str) -> None:
    """Write a report to a file or, for `-`, to standard output.

    Raises:
        CommandError: the file cannot be written.
    """
    if path == Path("-"):
        click.echo(text)
        return
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        remedy = "choose another file"
        raise CommandError(f"cannot write {path}: {error.strerror}; {remedy}") from error


def base_url(url: str) -> str:
    """The URL before the socket's path; the URL of a socket is accepted too."""
    for transport in ("/websocket", "/longpoll"):
        url = url.removesuffix(transport)
    for mount in ("/socket", "/extra"):
        url = url.removesuffix(mount)
    return url
