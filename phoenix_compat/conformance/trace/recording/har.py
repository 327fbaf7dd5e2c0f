"""Reads a HAR that a browser's network panel exports or a proxy writes.

Websocket frames are in `_webSocketMessages` of their handshake's entry: `type` is `send` or
`receive`, `time` is in seconds, `opcode` 1 is text and 2 is binary in base64. Only some tools write
close frames (8). Long-polling is not supported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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

MESSAGES = "_webSocketMessages"

_SIDES = {"send": Side.CLIENT, "receive": Side.SERVER}
_NO_STATUS = 1005


def parse_har(document: Mapping[str, Any]) -> Sequence[Entry]:
    """Parse the entries of all websockets, ordered by time.

    Connections are named by their position among the websockets of the file: "1", "2" and so on.

    Raises:
        TraceError: the document is not a HAR, or has no websocket.
    """
    log = member(document, "log", dict, "the file")
    requests = member(log, "entries", list, "log")
    found: list[Entry] = []
    conn = 0
    for index, request in enumerate(requests):
        place = f"log.entries[{index}]"
        if not isinstance(request, dict):
            raise TraceError(f"{place}: expected an object")
        if MESSAGES in request:
            conn += 1
            found += _connection(request, str(conn), place)
    if not found:
        raise TraceError(
            f"no websocket in the file: no entry has {MESSAGES}. Open the network panel before the "
            "page connects, and export with content"
        )
    # A browser writes one connection after the other; the checker needs the frames by time.
    found.sort(key=lambda entry: entry.at_s or 0.0)
    return [replace(entry, number=number) for number, entry in enumerate(found, start=1)]


def _connection(request: Mapping[str, Any], conn: str, place: str) -> Iterable[Entry]:
    messages = member(request, MESSAGES, list, place)
    entries = [
        _message(message, conn, f"{place}.{MESSAGES}[{index}]")
        for index, message in enumerate(messages)
    ]
    # Some browsers use another clock for the time of the handshake than for the frames.
    at_s = min((entry.at_s or 0.0 for entry in entries), default=0.0)
    handshake = Entry(0, place, conn, at_s, Side.CLIENT, _handshake(request, place))
    return [handshake, *entries]


def _handshake(request: Mapping[str, Any], place: str) -> frames.Open:
    asked = member(request, "request", dict, place)
    response = request.get("response")
    response = response if isinstance(response, dict) else {}
    offered = _header(asked, "sec-websocket-protocol") or ""
    return frames.Open(
        url=member(asked, "url", str, f"{place}.request"),
        # Chrome writes 0 or 200 for the status of some handshakes that succeeded.
        status=101,
        protocols=tuple(name.strip() for name in offered.split(",") if name.strip()),
        protocol=_header(response, "sec-websocket-protocol"),
    )


def _header(message: Mapping[str, Any], name: str) -> str | None:
    headers = message.get("headers")
    for header in headers if isinstance(headers, list) else []:
        if isinstance(header, dict) and str(header.get("name", "")).lower() == name:
            return str(header.get("value", ""))
    return None


def _message(message: Any, conn: str, place: str) -> Entry:
    if not isinstance(message, dict):
        raise TraceError(f"{place}: expected an object")
    kind = member(message, "type", str, place)
    at_s = float(member(message, "time", (int, float), place))
    if kind == "error":  # this is how Chrome writes a connection that was cut
        return Entry(0, place, conn, at_s, Side.SERVER, frames.Close(1006))
    if kind not in _SIDES:
        raise TraceError(f'{place}: "type" must be "send" or "receive", not {kind!r}')
    return Entry(0, place, conn, at_s, _SIDES[kind], _frame(message, place))


def _frame(message: Mapping[str, Any], place: str) -> Frame:
    opcode = member(message, "opcode", int, place)
    data = member(message, "data", str, place)
    match opcode:
        case 1:
            return frames.Text(data)
        case 2:
            return frames.Binary(bytes_member(message, "data", place))
        case 8:
            code = message.get("code")
            return frames.Close(code if isinstance(code, int) else _NO_STATUS, data)
        case 9:
            return frames.Ping(data)
        case 10:
            return frames.Pong(data)
        case _:
            raise TraceError(f'{place}: "opcode" must be 1, 2, 8, 9 or 10, not {opcode}')


def parse_document(text: str) -> Mapping[str, Any]:
    """Parse the JSON of a HAR.

    Raises:
        TraceError: the text is not JSON, or not an object.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"not valid JSON, is the file complete? ({error})") from None
    if not isinstance(document, dict):
        raise TraceError("a HAR must be a JSON object")
    return document
