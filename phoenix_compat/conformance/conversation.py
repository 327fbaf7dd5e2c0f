"""The connections of one case while it is played: acts, listens, and shows what was heard.

It judges nothing. What is heard is told in the form of the vectors: `{"text": parsed JSON}`,
`{"raw": other text}`, `{"b64": binary}`, `{"pong": data}`, `{"close": code}` (1006 for a connection
that ends without one), and `{"violation": what}` for what no server may send.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from string import Template
from typing import NoReturn
from urllib.parse import urlsplit

from phoenix_compat.conformance.cases import (
    JSON,
    Action,
    Close,
    Http,
    Open,
    Ping,
    SendBinary,
    SendText,
    Wait,
)
from phoenix_compat.conformance.wire_client import (
    HttpResponse,
    Opcode,
    RawFrame,
    WireClient,
    encode_close,
)

# A long poll answers within its window of 10 s; what takes longer will not come.
_RESPONSE_TIMEOUT_S = 15.0
_FAREWELL_TIMEOUT_S = 2.0

Heard = dict[str, JSON]


class UnplayableError(Exception):
    """A step asks for a connection or a value that is not there."""


class Conversation:
    """The connections and captured values of one case while it is played."""

    def __init__(self, base_url: str, quiet_s: float) -> None:
        self._base_url = base_url
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._quiet_s = quiet_s
        self._connections: dict[str, _Connection] = {}
        self._frames: dict[str, list[Heard]] = {}
        self._on_heard = asyncio.Event()
        self._values: dict[str, str] = {}

    async def play(self, action: Action) -> dict[str, JSON]:
        """Do one step, wait for the quiet after it, and return all that was heard."""
        got = await self._act(action)
        await self._wait_for_quiet()
        frames = {conn: list(heard) for conn, heard in self._frames.items() if heard}
        for heard in self._frames.values():
            heard.clear()
        return {**got, "frames": frames} if frames else got

    async def end(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(conn.say_goodbye() for conn in self._connections.values()))

    async def _act(self, action: Action) -> dict[str, JSON]:
        match action:
            case Open():
                return {"open": await self._open(action)}
            case Http():
                return {"http": await self._request(action)}
            case SendText(conn, text):
                await self._connection(conn).client.send_frame(text)
            case SendBinary(conn, data):
                await self._connection(conn).client.send_frame(data, Opcode.BINARY)
            case Ping(conn, data):
                await self._connection(conn).client.send_frame(data, Opcode.PING)
            case Close(conn, code):
                self._connection(conn).is_muted = True
                await self._connection(conn).client.send_bytes(encode_close(code))
            case Wait(wait_s):
                await asyncio.sleep(wait_s)
        return {}

    async def _open(self, action: Open) -> JSON:
        client = await WireClient.connect(self._base_url)
        headers = list(action.headers.items())
        if action.protocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(action.protocols)))
        response = await client.handshake(self._prefix + action.target, extra=headers)
        if response.status != 101:
            await client.close()
            return {"status": response.status}
        heard = self._frames.setdefault(action.conn, [])
        self._connections[action.conn] = _Connection(client, heard, self._on_heard)
        return {"status": 101, "protocol": response.header("sec-websocket-protocol")}

    async def _request(self, action: Http) -> JSON:
        client = await WireClient.connect(self._base_url)
        try:
            response = await client.request(
                action.method,
                self._prefix + self._fill(action.target),
                [*action.headers.items(), ("Connection", "close")],
                self._fill(action.body).encode(),
                timeout_s=_RESPONSE_TIMEOUT_S,
            )
        finally:
            await client.close()
        shown = _show_response(response, action.want_headers)
        if isinstance(shown["body"], dict):
            captured = shown["body"].keys() & action.capture
            self._values |= {name: str(shown["body"][name]) for name in captured}
        return shown

    def _fill(self, text: str) -> str:
        try:
            return Template(text).substitute(self._values)
        except KeyError as missing:
            raise UnplayableError(f"nothing was captured as {missing}") from None

    def _connection(self, name: str) -> _Connection:
        if name not in self._connections:
            raise UnplayableError(f"connection {name!r} is not open")
        return self._connections[name]

    async def _wait_for_quiet(self) -> None:
        while True:
            self._on_heard.clear()
            try:
                async with asyncio.timeout(self._quiet_s):
                    await self._on_heard.wait()
            except TimeoutError:
                # Frames already here are the server's on time, even when this loop was late.
                if not await self._has_more():
                    return

    async def _has_more(self) -> bool:
        for _turn in range(3):
            await asyncio.sleep(0)
        return self._on_heard.is_set()


class _Connection:
    """One websocket of a conversation; everything it hears goes to `heard` as vectors write it."""

    def __init__(self, client: WireClient, heard: list[Heard], on_heard: asyncio.Event) -> None:
        self.client = client
        self.is_muted = False
        self._heard = heard
        self._on_heard = on_heard
        self._parts: list[bytes] = []
        self._opcode = 0
        self._listener = asyncio.create_task(self._listen())

    async def say_goodbye(self) -> None:
        """Close politely, and without mercy when the server does not answer."""
        if not self._listener.done():
            self.is_muted = True
            with suppress(ConnectionError):  # the server may be faster
                await self.client.send_bytes(encode_close(1000))
            await asyncio.wait([self._listener], timeout=_FAREWELL_TIMEOUT_S)
        self._listener.cancel()
        await asyncio.wait([self._listener])
        await self.client.close()

    async def _listen(self) -> None:
        while (frame := await self.client.read_frame(timeout_s=None)) is not None:
            if frame.opcode == Opcode.CLOSE:
                self._hear({"close": frame.close_code})
                await self._answer_close(frame)
                return
            self._take(frame)
        self._hear({"close": 1006})

    async def _answer_close(self, frame: RawFrame) -> None:
        with suppress(ConnectionError):  # it need not wait for our half of the handshake
            await self.client.send_frame(frame.payload[:2], Opcode.CLOSE)

    def _take(self, frame: RawFrame) -> None:
        if frame.rsv or frame.is_masked:
            self._hear({"violation": f"rsv {frame.rsv}, masked {frame.is_masked}"})
            return
        if frame.opcode >= 0x8:
            self._hear(_show_frame(frame.opcode, frame.payload))
            return
        self._opcode = frame.opcode or self._opcode
        self._parts.append(frame.payload)
        if frame.is_final:
            self._hear(_show_frame(self._opcode, b"".join(self._parts)))
            self._parts = []

    def _hear(self, shown: Heard) -> None:
        if not self.is_muted:
            self._heard.append(shown)
            self._on_heard.set()


def _show_frame(opcode: int, payload: bytes) -> Heard:
    match opcode:
        case Opcode.TEXT:
            return _show_text(payload)
        case Opcode.BINARY:
            return {"b64": base64.b64encode(payload).decode()}
        case Opcode.PONG:
            return {"pong": payload.decode(errors="replace")}
        case Opcode.PING:
            return {"ping": payload.decode(errors="replace")}
        case _:
            return {"violation": f"opcode {opcode}"}


def _show_text(payload: bytes) -> Heard:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"violation": "text that is not UTF-8"}
    try:
        return {"text": _parse_json(text)}
    except ValueError:
        return {"raw": text}


def _show_response(response: HttpResponse, want_headers: Sequence[str]) -> dict[str, JSON]:
    shown: dict[str, JSON] = {"status": response.status, "body": _show_body(response.body)}
    if want_headers:
        shown["headers"] = {name: response.header(name) for name in want_headers}
    return shown


def _show_body(body: bytes) -> JSON:
    """A body as vectors write it: JSON as values, long-poll messages parsed, nothing as null."""
    text = body.decode(errors="replace")
    try:
        shown = _parse_json(text)
    except ValueError:
        return text or None
    if isinstance(shown, dict) and isinstance(shown.get("messages"), list):
        shown["messages"] = [_show_message(message) for message in shown["messages"]]
    return shown


def _show_message(message: JSON) -> JSON:
    if not isinstance(message, str):
        return {"violation": f"a message must be a string, not {message!r}"}
    try:
        return _parse_json(message)
    except ValueError:
        return {"raw": message}


def _parse_json(text: str) -> JSON:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
