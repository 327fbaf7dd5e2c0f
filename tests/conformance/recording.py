"""Makes recordings: of the vectors as they were recorded, and of a connection as it is used."""

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
    SendText,
    Wait,
    compact_json,
)
from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient
from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Side, What
from tests.patience import patient
from tests.wire import PatientClient

_LONG_POLL = "polling"


@dataclass
class Recording:
    """Entries in the order they are added."""

    entries: list[Entry] = field(default_factory=list)
    now_s: float | None = 0.0

    def add(self, conn: str, side: Side, what: What) -> None:
        """Note what one side did."""
        number = len(self.entries) + 1
        self.entries.append(Entry(number, f"entry {number}", conn, self.now_s, side, what))


def record_case(case: Case) -> Recording:
    """What the wire saw when the case was recorded: each step, then the frames that followed it."""
    recording = Recording()
    for step in case.steps:
        _record_action(recording, step.action, step.wanted)
        for conn, heard in step.wanted.get("frames", {}).items():
            for frame in heard:
                recording.add(conn, Side.SERVER, _heard(frame))
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
            raise AssertionError(f"no step of a recording: {action}")


def _record_polling(recording: Recording, action: Http, body: Any) -> None:
    """A POST carries the client's frames, the answer to a GET the server's."""
    if not isinstance(body, dict):
        return
    if body.get("status") == 410 and "token" in body:
        recording.add(_LONG_POLL, Side.CLIENT, frames.Open(f"http://localhost{action.target}"))
    if action.method == "POST" and body.get("status") == 200:
        for line in action.body.split("\n"):
            recording.add(_LONG_POLL, Side.CLIENT, frames.Text(line))
    for message in body.get("messages", []):
        recording.add(_LONG_POLL, Side.SERVER, frames.Text(compact_json(message)))


def _heard(frame: Mapping[str, Any]) -> What:
    match frame:
        case {"text": value}:
            return frames.Text(compact_json(value))
        case {"raw": text}:
            return frames.Text(text)
        case {"b64": data}:
            return frames.Binary(base64.b64decode(data))
        case {"pong": data}:
            return frames.Pong(data)
        case {"close": code}:
            return frames.Close(code)
        case _:
            raise AssertionError(f"no frame of a vector: {frame}")


class RecordedWire:
    """A websocket whose frames, both ways, are noted as they pass."""

    def __init__(self, recording: Recording, conn: str, client: WireClient) -> None:
        self._recording = recording
        self._conn = conn
        self._client = client
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, recording: Recording, base_url: str, conn: str, query: str) -> RecordedWire:
        """Open a websocket, which must be accepted."""
        client = await PatientClient.connect(base_url)
        response = await client.handshake(f"/socket/websocket?{query}")
        assert response.status == 101, response
        recording.add(conn, Side.CLIENT, frames.Open(f"{base_url}/socket/websocket?{query}"))
        return cls(recording, conn, client)

    async def send(self, message: Any) -> None:
        """Send JSON, compact, as text."""
        text = compact_json(message)
        self._recording.add(self._conn, Side.CLIENT, frames.Text(text))
        await self._client.send_frame(text)

    async def send_binary(self, data: bytes) -> None:
        """Send a binary frame."""
        self._recording.add(self._conn, Side.CLIENT, frames.Binary(data))
        await self._client.send_frame(data, Opcode.BINARY)

    async def finish(self) -> None:
        """Say goodbye and hear the server to its end."""
        self._recording.add(self._conn, Side.CLIENT, frames.Close(1000))
        await self._client.send_frame((1000).to_bytes(2), Opcode.CLOSE)
        async with asyncio.timeout(patient(10)):
            await self._listener
        await self._client.close()

    async def _listen(self) -> None:
        while (frame := await self._client.read_frame(timeout_s=None)) is not None:
            heard: What
            match frame.opcode:
                case Opcode.TEXT:
                    heard = frames.Text(frame.text)
                case Opcode.BINARY:
                    heard = frames.Binary(frame.payload)
                case Opcode.CLOSE:
                    heard = frames.Close(frame.close_code)
                case opcode:
                    raise AssertionError(f"opcode {opcode} was not asked for")
            self._recording.add(self._conn, Side.SERVER, heard)
