"""Converts received frames and responses to the format of the vectors.

`{"text": parsed JSON}`, `{"raw": other text}`, `{"b64": binary}`, `{"pong": data}`,
`{"close": code}` (1006 if a connection ends without a close frame), `{"gone": true}` for a
long-poll session that has ended, and `{"violation": what}` for anything that no server may send.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import NoReturn

from phoenix_compat.conformance.suite.cases import JSON
from phoenix_compat.conformance.suite.wire_client import HttpResponse, Opcode

Received = dict[str, JSON]


class ReceivedText(Received):
    """A text message as parsed JSON; `exact` is its text."""

    def __init__(self, parsed: JSON, exact: str) -> None:
        super().__init__(text=parsed)
        self.exact = exact


def show_frame(opcode: int, payload: bytes) -> Received:
    """One whole websocket message or control frame."""
    match opcode:
        case Opcode.TEXT:
            return show_text(payload)
        case Opcode.BINARY:
            return {"b64": base64.b64encode(payload).decode()}
        case Opcode.PONG:
            return {"pong": payload.decode(errors="replace")}
        case Opcode.PING:
            return {"ping": payload.decode(errors="replace")}
        case _:
            return {"violation": f"opcode {opcode}"}


def show_text(payload: bytes) -> Received:
    """A text message."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"violation": "text that is not UTF-8"}
    try:
        return ReceivedText(parse_json(text), text)
    except ValueError:
        return {"raw": text}


def show_response(response: HttpResponse, want_headers: Sequence[str]) -> dict[str, JSON]:
    """An HTTP response: status, body, and the headers that are compared."""
    shown: dict[str, JSON] = {"status": response.status, "body": _show_body(response.body)}
    if want_headers:
        shown["headers"] = {name: response.header(name) for name in want_headers}
    return shown


def _show_body(body: bytes) -> JSON:
    """A body in the format of the vectors: JSON and long-poll messages parsed, empty as null."""
    text = body.decode(errors="replace")
    try:
        shown = parse_json(text)
    except ValueError:
        return text or None
    if isinstance(shown, dict) and isinstance(shown.get("messages"), list):
        shown["messages"] = [_show_message(message) for message in shown["messages"]]
    return shown


def _show_message(message: JSON) -> JSON:
    if not isinstance(message, str):
        return {"violation": f"a message must be a string, not {message!r}"}
    try:
        return parse_json(message)
    except ValueError:
        return {"raw": message}


def parse_json(text: str) -> JSON:
    """Parse strict JSON. Raises ValueError."""
    return json.loads(text, parse_constant=_reject_constant)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
