"""Defines a case: the steps of a conversation, and the answers they must get.

`catalog` reads the cases from the vector files, `runner` plays them. This module does no I/O.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, Self, TypeVar, get_args

JSON = Any

Transport = Literal["websocket", "longpoll"]
Level = Literal["MUST", "SHOULD", "PROFILE"]

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class Open:
    """Open a websocket or a long-poll session, named `conn`."""

    conn: str
    target: str
    headers: Mapping[str, str]
    protocols: tuple[str, ...]
    transport: Transport = "websocket"

    def __str__(self) -> str:
        offered = f" offering {', '.join(self.protocols)}" if self.protocols else ""
        headers = "".join(f" {name}: {value}" for name, value in self.headers.items())
        return f"{self.conn}: open {self.target}{offered}{headers}"


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
class SendFrame:
    """Send one websocket frame as it is, which need not be valid.

    Attributes:
        rsv: the three reserved bits as a number; RSV1 is 4.
    """

    conn: str
    opcode: int
    data: bytes
    is_final: bool = True
    rsv: int = 0
    is_masked: bool = True

    def __str__(self) -> str:
        oddities = (
            "" if self.is_final else ", goes on",
            f", rsv {self.rsv}" if self.rsv else "",
            "" if self.is_masked else ", not masked",
        )
        return f"{self.conn}: frame {self.opcode} {shorten(repr(self.data))}{''.join(oddities)}"


@dataclass(frozen=True, slots=True)
class SendBurst:
    """Send several text frames without a pause."""

    conn: str
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.conn}: send {len(self.texts)} at once, first {shorten(self.texts[0])}"


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a ping frame."""

    conn: str
    data: str

    def __str__(self) -> str:
        return f"{self.conn}: ping {self.data!r}"


@dataclass(frozen=True, slots=True)
class Close:
    """Send a close frame; what this connection receives afterwards is not compared."""

    conn: str
    code: int

    def __str__(self) -> str:
        return f"{self.conn}: close {self.code}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing for `wait_s` seconds."""

    wait_s: float

    def __str__(self) -> str:
        return f"wait {self.wait_s} s"


@dataclass(frozen=True, slots=True)
class Http:
    """Make a plain HTTP request; `${name}` in it is replaced by a captured value.

    Attributes:
        capture: keys of the JSON response whose values later steps use.
        want_headers: response headers to compare, besides status and body.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: str
    capture: tuple[str, ...]
    want_headers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.target} {shorten(self.body)}".rstrip()


Action = Open | SendText | SendBinary | SendFrame | SendBurst | Ping | Close | Wait | Http


@dataclass(frozen=True, slots=True)
class Step:
    """An action, and what must be received after it.

    Attributes:
        wanted: `{"open": …, "http": …, "frames": {conn: [frame, …]}}`, each key only if needed.
        unordered: connections whose frames may come in any order.
    """

    action: Action
    wanted: Mapping[str, JSON] = field(default_factory=dict)
    unordered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation over one transport.

    Attributes:
        id: its name, `area/…/what`.
        level: MUST if clients rely on it, SHOULD if most clients never notice, PROFILE if it
            depends on the version or on the HTTP server.
        title: what it shows, in a sentence.
        source: the place in Phoenix.
        section: the section of docs/protocol.md, with a row of its table or a step.
        recorded_as: its name in the recording; None if it was written by hand.
        isolate: names of topics and users that no other case may use while it is played.
    """

    id: str
    steps: tuple[Step, ...]
    level: Level = "MUST"
    title: str = ""
    source: str = ""
    section: str = ""
    transport: Transport = "websocket"
    recorded_as: str | None = None
    isolate: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The id with the transport, which is unique."""
        return f"{self.id} {self.transport}"

    @property
    def waits(self) -> bool:
        """Whether it waits for something that the server does by its clock."""
        return any(isinstance(step.action, Wait) for step in self.steps)

    @property
    def server_clock_s(self) -> float | None:
        """The shortest timeout of the server that can end a connection of this case, if any.

        The idle timeout of `/slow`, or the window after which a long-poll session without a poll
        ends. That of a websocket at another mount, 60 s, is longer than any case.
        """
        targets = [_target(step.action) for step in self.steps]
        found = [
            clock_s
            for start, clock_s in _SERVER_CLOCKS_S.items()
            if any(target.startswith(start) for target in targets)
        ]
        return min(found, default=None)

    @property
    def is_timed(self) -> bool:
        """Whether it must be played on time, because it waits beside an idle timeout."""
        return self.waits and self.server_clock_s == _SERVER_CLOCKS_S["/slow/websocket"]

    def isolated(self, mark: str) -> Self:
        """The same case with `-mark` appended to each name in `isolate`."""
        names = {name: f"{name}-{mark}" for name in self.isolate}
        steps = (
            replace(
                step,
                action=_rename_action(step.action, names),
                wanted=_rename(step.wanted, names),
            )
            for step in self.steps
        )
        return replace(self, steps=tuple(steps)) if names else self

    def over_longpoll(self) -> Self:
        """The same conversation over long-polling.

        A long-poll session has no close codes, so `{"close": code}` becomes `{"gone": true}`.
        """
        steps = (
            replace(step, action=_to_longpoll(step.action), wanted=_to_gone(step.wanted))
            for step in self.steps
        )
        return replace(self, steps=tuple(steps), transport="longpoll")


_SERVER_CLOCKS_S: Final = {
    "/slow/websocket": 2.0,
    "/extra/longpoll": 1.0,
    "/slow/longpoll": 10.0,
    "/socket/longpoll": 10.0,
}
"""The timeouts of the mounts of the reference channel set, by the start of the target."""


def _target(action: Action) -> str:
    return action.target if isinstance(action, Open | Http) else ""


def parse_case(raw: Mapping[str, JSON]) -> Case:
    """Parse one case, `{"id": …, "steps": [step, …], …}`; only the steps are required."""
    steps = (_parse_step(step) for step in raw["steps"])
    return Case(
        id=raw.get("id", raw.get("name", "")),
        steps=tuple(steps),
        level=raw.get("level", "MUST"),
        title=raw.get("title", ""),
        source=raw.get("source", ""),
        section=raw.get("section", ""),
        recorded_as=raw.get("name"),
        isolate=tuple(raw.get("isolate", ())),
    )


A = TypeVar("A", bound=Action)


def _rename_action(action: A, names: Mapping[str, str]) -> A:
    """An action with names replaced in its texts; binary data does not change."""
    texts = {
        one.name: _rename(value, names)
        for one in fields(action)
        if isinstance(value := getattr(action, one.name), str | tuple)
    }
    return replace(action, **texts)


def _rename(value: JSON, names: Mapping[str, str]) -> JSON:
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {key: _rename(inner, names) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_rename(inner, names) for inner in value)
    return value


def _to_longpoll(action: Action) -> Action:
    if not isinstance(action, Open):
        return action
    path, mark, query = action.target.partition("?")
    target = f"{path.removesuffix('/websocket')}/longpoll{mark}{query}"
    return replace(action, target=target, transport="longpoll")


def _to_gone(wanted: Mapping[str, JSON]) -> Mapping[str, JSON]:
    frames = {
        conn: [{"gone": True} if "close" in frame else frame for frame in heard]
        for conn, heard in wanted.get("frames", {}).items()
    }
    return {**wanted, "frames": frames} if frames else wanted


def shorten(text: str, limit: int = 120) -> str:
    """The text, or its start and its length if it is longer than `limit` characters."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _parse_step(raw: Mapping[str, JSON]) -> Step:
    expect = dict(raw.get("expect", {}))
    unordered = expect.pop("unordered", ())
    return Step(_parse_action(raw), expect, tuple(unordered))


def _parse_action(raw: Mapping[str, JSON]) -> Action:
    conn = raw.get("conn", "a")
    match raw["op"]:
        case "open":
            return _parse_open(raw, conn)
        case "send":
            return SendText(conn, raw["text"] if "text" in raw else compact_json(raw["json"]))
        case "sendb":
            return SendBinary(conn, base64.b64decode(raw["b64"]))
        case "frame":
            return _parse_frame(raw, conn)
        case "burst":
            return SendBurst(conn, tuple(map(compact_json, raw["json"])))
        case "ping":
            return Ping(conn, raw["data"])
        case "close":
            return Close(conn, raw.get("code", 1000))
        case "wait":
            return Wait(raw["s"])
        case "http":
            return _parse_http(raw)
        case op:
            raise ValueError(f"unknown step {op!r}")


def _parse_open(raw: Mapping[str, JSON], conn: str) -> Open:
    path, query = raw.get("path", "/socket/websocket"), raw.get("query", "")
    target = f"{path}?{query}" if query else path
    return Open(conn, target, raw.get("headers", {}), tuple(raw.get("protocols", ())))


def _parse_frame(raw: Mapping[str, JSON], conn: str) -> SendFrame:
    return SendFrame(
        conn,
        raw["opcode"],
        base64.b64decode(raw["b64"]) if "b64" in raw else raw.get("text", "").encode(),
        is_final=raw.get("final", True),
        rsv=raw.get("rsv", 0),
        is_masked=raw.get("masked", True),
    )


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
