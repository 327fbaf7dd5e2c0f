"""Makes recordings for the trace checker: from vectors, and from a live connection."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phoenix_compat.conformance.suite.cases import (
    Action,
    Case,
    Close,
    Http,
    Open,
    Ping,
    SendBinary,
    SendBurst,
    SendText,
    Wait,
    compact_json,
)
from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient
from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Frame, Side
from tests.patience import patient

_LONG_POLL = "polling"


@dataclass
class Recording:
    """A recording that grows entry by entry."""

    entries: list[Entry] = field(default_factory=list)
    now_s: float | None = 0.0

    def add(self, conn: str, side: Side, frame: Frame) -> None:
        """Add an action of one side."""
        number = len(self.entries) + 1
        self.entries.append(Entry(number, f"entry {number}", conn, self.now_s, side, frame))


def record_case(case: Case) -> Recording:
    """The recording of a case: each step, then the frames that followed it."""
    recording = Recording()
    for step in case.steps:
        _record_action(recording, step.action, step.wanted)
        for conn, received in step.wanted.get("frames", {}).items():
            for frame in received:
                recording.add(conn, Side.SERVER, _parse_frame(frame))
    return recording


def _record_action(recording: Recording, action: Action, wanted: Mapping[str, Any]) -> None:
    match action:
        case Open(conn, target, _, protocols):
            status = wanted["open"]["status"]
            protocol = wanted["open"].get("protocol")
            opened = frames.Open(f"ws://localhost{target}", status, protocols, protocol)
            recording.add(conn, Side.CLIENT, opened)
        case SendText(conn, text):
            recording.add(conn, Side.CLIENT, frames.Text(text))
        case SendBurst(conn, texts):
            for text in texts:
                recording.add(conn, Side.CLIENT, frames.Text(text))
        case SendBinary(conn, data):
            recording.add(conn, Side.CLIENT, frames.Binary(data))
        case Ping(conn, data):
            recording.add(conn, Side.CLIENT, frames.Ping(data))
        case Close(conn, code):
            recording.add(conn, Side.CLIENT, frames.Close(code))
        case Wait(wait_s):
            recording.now_s = (recording.now_s or 0.0) + wait_s
        case Http():
            _record_polling(recording, action, wanted["http"]["body"])
        case _:
            raise AssertionError(f"a recording cannot have this step: {action}")


def _record_polling(recording: Recording, action: Http, body: Any) -> None:
    """Add the frames of a long-poll request: the client's in a POST, the server's in a response."""
    if not isinstance(body, dict):
        return
    if body.get("status") == 410 and "token" in body:
        recording.add(_LONG_POLL, Side.CLIENT, frames.Open(f"http://localhost{action.target}"))
    if action.method == "POST" and body.get("status") == 200:
        for line in action.body.split("\n"):
            recording.add(_LONG_POLL, Side.CLIENT, frames.Text(line))
    for message in body.get("messages", []):
        recording.add(_LONG_POLL, Side.SERVER, frames.Text(compact_json(message)))


def _parse_frame(frame: Mapping[str, Any]) -> Frame:
    match frame:
        case {"text": value}:
            return frames.Text(compact_json(value))
        case {"raw": text} | {"exact": text}:
            return frames.Text(text)
        case {"b64": data}:
            return frames.Binary(base64.b64decode(data))
        case {"pong": data}:
            return frames.Pong(data)
        case {"close": code}:
            return frames.Close(code)
        case _:
            raise AssertionError(f"a vector cannot have this frame: {frame}")


class RecordedWire:
    """A websocket that records all frames in both directions."""

    def __init__(self, recording: Recording, conn: str, client: WireClient) -> None:
        self._recording = recording
        self._conn = conn
        self._client = client
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, recording: Recording, base_url: str, conn: str, query: str) -> RecordedWire:
        """Open a websocket; the server must accept it."""
        client = await WireClient.connect(base_url)
        response = await client.handshake(f"/socket/websocket?{query}")
        assert response.status == 101, response
        recording.add(conn, Side.CLIENT, frames.Open(f"{base_url}/socket/websocket?{query}"))
        return cls(recording, conn, client)

    async def send(self, message: Any) -> None:
        """Send compact JSON as text."""
        text = compact_json(message)
        self._recording.add(self._conn, Side.CLIENT, frames.Text(text))
        await self._client.send_frame(text)

    async def send_binary(self, data: bytes) -> None:
        """Send a binary frame."""
        self._recording.add(self._conn, Side.CLIENT, frames.Binary(data))
        await self._client.send_frame(data, Opcode.BINARY)

    async def finish(self) -> None:
        """Close, and record until the server has closed too."""
        self._recording.add(self._conn, Side.CLIENT, frames.Close(1000))
        await self._client.send_frame((1000).to_bytes(2), Opcode.CLOSE)
        async with asyncio.timeout(patient(10)):
            await self._listener
        await self._client.close()

    async def _listen(self) -> None:
        while (frame := await self._client.read_frame(timeout_s=None)) is not None:
            received: Frame
            match frame.opcode:
                case Opcode.TEXT:
                    received = frames.Text(frame.text)
                case Opcode.BINARY:
                    received = frames.Binary(frame.payload)
                case Opcode.CLOSE:
                    received = frames.Close(frame.close_code)
                case opcode:
                    raise AssertionError(f"unexpected opcode {opcode}")
            self._recording.add(self._conn, Side.SERVER, received)
