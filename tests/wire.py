"""A websocket client for tests that sends and reads one message at a time."""

from __future__ import annotations

import json
from typing import Any, Self

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import (
    Headers,
    HttpResponse,
    Opcode,
    RawFrame,
    WireClient,
)
from tests.patience import patient

V1 = "/socket/websocket?vsn=1.0.0"
V2 = "/socket/websocket?vsn=2.0.0"

OK: dict[str, Any] = {"response": {}, "status": "ok"}
UNMATCHED: dict[str, Any] = {"response": {"reason": "unmatched topic"}, "status": "error"}
CRASHED: dict[str, Any] = {"reason": "channel_crash"}


def replied(response: Any) -> dict[str, Any]:
    """The payload of a reply with status ok."""
    return {"response": response, "status": "ok"}


class PatientClient(WireClient):
    """A client whose time limits are those of a quiet machine, see `patient`."""

    async def read_response(self, *, method: str = "GET", timeout_s: float = 5.0) -> HttpResponse:
        """See WireClient."""
        return await super().read_response(method=method, timeout_s=patient(timeout_s))

    async def read_frame(self, timeout_s: float | None = 5.0) -> RawFrame | None:
        """See WireClient."""
        return await super().read_frame(None if timeout_s is None else patient(timeout_s))


class PhoenixWire:
    """One websocket to a Phoenix server.

    `recv` fails unless the next frame is text, so a test that reads everything it expects and then
    calls `fence` has shown that nothing else was sent before.
    """

    def __init__(self, client: WireClient) -> None:
        self.client = client
        self._fences = 0

    @classmethod
    async def open(cls, base_url: str, target: str = V2, extra: Headers = ()) -> Self:
        """Open a websocket; the server must accept it."""
        client = await PatientClient.connect(base_url)
        response = await client.handshake(target, extra=extra)
        assert response.status == 101, response
        return cls(client)

    async def send(self, message: Any) -> None:
        """Send JSON, compact, as text."""
        await self.client.send_frame(compact_json(message))

    async def send_text(self, text: str) -> None:
        """Send text unchanged."""
        await self.client.send_frame(text)

    async def send_binary(self, data: bytes) -> None:
        """Send a binary frame."""
        await self.client.send_frame(data, Opcode.BINARY)

    async def recv_frame(self, timeout_s: float = 5.0) -> RawFrame:
        """Wait for the next frame."""
        frame = await self.client.read_frame(timeout_s)
        assert frame is not None, "the connection ended without a close frame"
        return frame

    async def recv_text(self) -> str:
        """The text of the next frame, which must be a text frame."""
        frame = await self.recv_frame()
        assert frame.opcode == Opcode.TEXT, frame
        assert frame.is_final
        assert not frame.rsv
        return frame.text

    async def recv(self) -> Any:
        """The JSON of the next frame, which must be a text frame."""
        return json.loads(await self.recv_text())

    async def recv_many(self, count: int) -> list[Any]:
        """The JSON of the next frames, which must be text frames."""
        return [await self.recv() for _frame in range(count)]

    async def recv_binary(self) -> bytes:
        """The data of the next frame, which must be a binary frame."""
        frame = await self.recv_frame()
        assert frame.opcode == Opcode.BINARY, frame
        return frame.payload

    async def recv_close(self, timeout_s: float = 5.0) -> int:
        """The code of the next frame, which must be a close frame without a reason and the last."""
        frame = await self.recv_frame(timeout_s)
        assert frame.opcode == Opcode.CLOSE, frame
        assert frame.close_reason == b""
        await self.client.send_frame(frame.payload, Opcode.CLOSE)
        assert await self.client.read_frame() is None, "frames after the close frame"
        return frame.close_code

    async def ask(self, message: Any) -> Any:
        """Send JSON and read the JSON of the next frame."""
        await self.send(message)
        return await self.recv()

    async def join(self, topic: str, join_ref: str | None = "1", payload: Any = None) -> None:
        """Join a topic over V2; the next frame must be the ok reply."""
        message = [join_ref, join_ref or "join", topic, "phx_join", payload or {}]
        reply = await self.ask(message)
        assert reply[:4] == [*message[:3], "phx_reply"]
        assert reply[4]["status"] == "ok", reply

    async def fence(self) -> None:
        """Show over V2 that the server has sent nothing else: a heartbeat reply must come next."""
        self._fences += 1
        ref = f"fence-{self._fences}"
        assert await self.ask([None, ref, "phoenix", "heartbeat", {}]) == [
            None,
            ref,
            "phoenix",
            "phx_reply",
            OK,
        ]

    async def close(self) -> None:
        """Drop the connection."""
        await self.client.close()
