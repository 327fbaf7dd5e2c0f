"""Links a result to this server's copies of its files, when it is encoded for a client. No I/O.

A row keeps the result as the provider gave it, and beside it which of its files are stored, under
which names. The links are made for each client, because clients reach this server by different
addresses. A result of an older version may have links of this server; they are made anew too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

FILES_PATH: Final = "/files/"
"""Where this server serves stored files, below the address that clients use."""

_MAX_DEPTH: Final = 16
"""Deeper values are left as they are; `output.MAX_DEPTH` keeps results well below it."""


def with_file_links(
    result: Mapping[str, Any], files: Iterable[Mapping[str, Any]], base_url: str
) -> dict[str, Any]:
    """The result with a link to this server in place of every address of a stored file.

    Args:
        files: documents of the stored files, as `StoredFile.document` makes them.
        base_url: the address by which the client reaches this server, without a slash at the end;
            "" makes links that are relative to it: "/files/<name>".
    """
    links: dict[str, str] = {}
    for file in files:
        name = str(file.get("path", "")).rpartition("/")[2]
        links[FILES_PATH + name] = f"{base_url}{FILES_PATH}{name}"
        if isinstance(source_url := file.get("source_url"), str):
            links[source_url] = links[FILES_PATH + name]
    if not links:
        return dict(result)
    return {key: _linked(value, links, _MAX_DEPTH) for key, value in result.items()}


def _linked(value: Any, links: Mapping[str, str], depth: int) -> Any:
    if isinstance(value, str):
        _, path, name = value.rpartition(FILES_PATH)
        return links.get(value) or links.get(path + name, value)
    if depth and isinstance(value, list):
        return [_linked(item, links, depth - 1) for item in value]
    if depth and isinstance(value, dict):
        return {key: _linked(item, links, depth - 1) for key, item in value.items()}
    return value
