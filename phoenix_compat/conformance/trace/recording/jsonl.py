"""Reads recordings in JSON lines: one object per line; blank lines are ignored.

    {"t": 0.0,  "conn": "a", "open": "ws://host/socket/websocket?vsn=2.0.0"}
    {"t": 0.01, "conn": "a", "from": "client", "text": "[\"1\",\"1\",\"room:a\",\"phx_join\",{}]"}
    {"t": 0.02, "conn": "a", "from": "server", "b64": "AAEGAjFyb29tOmFwYgQF"}
    {"t": 9.5,  "conn": "a", "from": "server", "close": 1012}

    t       seconds from any origin; without it, rules about time are not checked
    conn    the name of the connection, "a" by default
    from    "client" or "server"; not needed for `open`
    and one of
    open    the URL with its query; optional: `status` (101), `protocols` (a list), `protocol`
    text    a text frame     b64  a binary frame, base64     ping, pong  the payload
    close   the code, 1006 if the connection was cut; optional: `reason`

Other keys are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import (
    Entry,
    Frame,
    Side,
    TraceError,
    bytes_member,
    member,
)

_KINDS = ("open", "text", "b64", "ping", "pong", "close")


def parse_jsonl(text: str) -> Iterator[Entry]:
    """Parse the entries of a recording.

    Raises:
        TraceError: a line is not valid; the message names the line and the field.
    """
    number = 0
    for line_number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            number += 1
            yield _parse_line(line, number, f"line {line_number}")
    if not number:
        raise TraceError("the file is empty")


def _parse_line(line: str, number: int, place: str) -> Entry:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place}: not valid JSON, is the file complete? ({error})") from None
    if not isinstance(found, dict):
        raise TraceError(f"{place}: expected an object, not {line.strip()[:40]}")
    conn = member(found, "conn", str, place) if "conn" in found else "a"
    return Entry(number, place, conn, _time(found, place), *_side_and_frame(found, place))


def _time(found: Mapping[str, Any], place: str) -> float | None:
    if found.get("t") is None:
        return None
    at_s = float(member(found, "t", (int, float), place))
    if not math.isfinite(at_s):
        raise TraceError(f'{place}: "t" must be a finite number of seconds')
    return at_s


def _side_and_frame(found: Mapping[str, Any], place: str) -> tuple[Side, Frame]:
    kinds = [kind for kind in _KINDS if kind in found]
    if len(kinds) != 1:
        raise TraceError(f"{place}: expected exactly one of {', '.join(_KINDS)}, not {kinds}")
    kind = kinds[0]
    if kind == "open":
        return Side.CLIENT, _open(found, place)
    side = member(found, "from", str, place)
    if side not in {"client", "server"}:
        raise TraceError(f'{place}: "from" must be "client" or "server", not {side!r}')
    return Side(side), _frame(kind, found, place)


def _open(found: Mapping[str, Any], place: str) -> frames.Open:
    protocols = member(found, "protocols", list, place) if "protocols" in found else []
    if not all(isinstance(protocol, str) for protocol in protocols):
        raise TraceError(f'{place}: "protocols" must be a list of strings')
    return frames.Open(
        url=member(found, "open", str, place),
        status=member({"status": 101, **found}, "status", int, place),
        protocols=tuple(protocols),
        protocol=member({"protocol": None, **found}, "protocol", (str, type(None)), place),
    )


def _frame(kind: str, found: Mapping[str, Any], place: str) -> Frame:
    match kind:
        case "close":
            reason = member(found, "reason", str, place) if "reason" in found else ""
            return frames.Close(member(found, "close", int, place), reason)
        case "b64":
            return frames.Binary(bytes_member(found, "b64", place))
        case "ping":
            return frames.Ping(member(found, "ping", str, place))
        case "pong":
            return frames.Pong(member(found, "pong", str, place))
        case _:
            return frames.Text(member(found, "text", str, place))
