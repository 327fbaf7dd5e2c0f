"""Matches the paths of sockets.

Paths are matched by their non-empty segments, as in Plug: `/socket/websocket/` and
`//socket//websocket` are the same as `/socket/websocket`. A segment `:name` captures a variable.
Nothing is percent-decoded: `/s%6fcket/websocket` is another path, and a variable keeps its `%2F`.

Differs from Phoenix: a variable is a whole segment; Phoenix has `/x:name` and `*rest` too, and a
name that occurs twice must have the same value there.

Source: phoenix 1.8.12, lib/phoenix/endpoint.ex, socket_path/2 and socket_dispatch/2 (which takes
`conn.path_info` as it is; only the routes of a Phoenix.Router are decoded).
"""

from __future__ import annotations

from collections.abc import Sequence


def segments(path: str) -> list[str]:
    """The segments of a path that are not empty."""
    return [segment for segment in path.split("/") if segment]


def match_segments(pattern: Sequence[str], path: Sequence[str]) -> dict[str, str] | None:
    """The variables of a path that matches, without those that begin with `_`; otherwise None."""
    if len(path) != len(pattern):
        return None
    captured = {}
    for expected, segment in zip(pattern, path, strict=True):
        if expected.startswith(":"):
            captured[expected[1:]] = segment
        elif expected != segment:
            return None
    return {name: value for name, value in captured.items() if not name.startswith("_")}
