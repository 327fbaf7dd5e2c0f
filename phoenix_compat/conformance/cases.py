"""The recorded conversations as values: what to do, step by step, and what must be answered.

It reads `vectors/phoenix-1.8.json` and talks to nobody; `runner` plays what is read here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

JSON = Any

# Events of the reference channel set that reach the sockets of other cases on the same topic.
_BROADCASTING_EVENTS = ("broadcast", "broadcast_from")


@dataclass(frozen=True, slots=True)
class Open:
    """Open a websocket and call it `conn`."""

    conn: str
    target: str
    headers: Mapping[str, str]
    protocols: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.conn}: open {self.target}"


@dataclass(frozen=True, slots=True)
class SendText:
    """Send one text frame."""

    conn: str
    text: str

    def __str__(self) -> str:
        return f"{self.conn}: send {shorten(self.text)}"


@dataclass(frozen=True, slots=True)
class SendBinary:
    """Send one binary frame."""

    conn: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.conn}: send {shorten(repr(self.data))}"


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a ping frame."""

    conn: str
    data: str

    def __str__(self) -> str:
        return f"{self.conn}: ping {self.data!r}"


@dataclass(frozen=True, slots=True)
class Close:
    """Close from the client's side; what this connection hears from then on is not compared."""

    conn: str
    code: int

    def __str__(self) -> str:
        return f"{self.conn}: close {self.code}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing for `wait_s` seconds."""

    wait_s: float

    def __str__(self) -> str:
        return f"wait {self.wait_s} s"


@dataclass(frozen=True, slots=True)
class Http:
    """Make a plain request; `${name}` in it is filled from values captured before.

    Attributes:
        capture: keys of the JSON answer to keep for later steps.
        want_headers: response headers to compare besides status and body.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: str
    capture: tuple[str, ...]
    want_headers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.target} {shorten(self.body)}".rstrip()


Action = Open | SendText | SendBinary | Ping | Close | Wait | Http


@dataclass(frozen=True, slots=True)
class Step:
    """An action and what is heard after it.

    Attributes:
        wanted: `{"open": …, "http": …, "frames": {conn: [frame, …]}}`, absent keys left out.
    """

    action: Action
    wanted: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded conversation."""

    name: str
    steps: tuple[Step, ...]

    def is_heard_by_others(self) -> bool:
        """Whether other cases, run at the same moment, would hear what this one broadcasts."""
        sent = (step.action.text for step in self.steps if isinstance(step.action, SendText))
        return any(f'"{event}"' in text for text in sent for event in _BROADCASTING_EVENTS)


def load_vectors(path: Path | None = None) -> list[Case]:
    """Read the cases of a vectors file, of the one recorded from Phoenix 1.8.12 by default."""
    packaged = resources.files(__package__) / "vectors" / "phoenix-1.8.json"
    document = json.loads((path or packaged).read_text(encoding="utf-8"))
    return [parse_case(case) for case in document["cases"]]


def parse_case(raw: Mapping[str, JSON]) -> Case:
    """Read one case, `{"name": …, "steps": [step, …]}`."""
    steps = (Step(_parse_action(step), step.get("expect", {})) for step in raw["steps"])
    return Case(raw["name"], tuple(steps))


def shorten(text: str, limit: int = 120) -> str:
    """The text, or its beginning and its length when it is longer than `limit` characters."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _parse_action(raw: Mapping[str, JSON]) -> Action:
    conn = raw.get("conn", "a")
    match raw["op"]:
        case "open":
            return _parse_open(raw, conn)
        case "send":
            return SendText(conn, raw["text"] if "text" in raw else compact_json(raw["json"]))
        case "sendb":
            return SendBinary(conn, base64.b64decode(raw["b64"]))
        case "ping":
            return Ping(conn, raw["data"])
        case "close":
            return Close(conn, raw.get("code", 1000))
        case "wait":
            return Wait(raw["s"])
        case "http":
            return _parse_http(raw)
        case op:
            raise ValueError(f"no such step: {op!r}")


def _parse_open(raw: Mapping[str, JSON], conn: str) -> Open:
    path, query = raw.get("path", "/socket/websocket"), raw.get("query", "")
    target = f"{path}?{query}" if query else path
    return Open(conn, target, raw.get("headers", {}), tuple(raw.get("protocols", ())))


def _parse_http(raw: Mapping[str, JSON]) -> Http:
    return Http(
        method=raw.get("method", "GET"),
        target=raw["path"],
        headers=raw.get("headers", {}),
        body=raw.get("body", ""),
        capture=tuple(raw.get("capture", ())),
        want_headers=tuple(raw.get("want_headers", ())),
    )


def compact_json(value: JSON) -> str:
    """JSON without spaces and without `\\u` escapes, as Phoenix and its clients write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
