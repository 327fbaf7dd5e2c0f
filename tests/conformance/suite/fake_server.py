"""A websocket server that sends scripted answers: right, wrong or late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient, encode_frame

Answers = Sequence[bytes | float]
"""The answers to one frame of the client: bytes to send, and pauses in seconds."""

WELCOME = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
HANG_UP = b""
WARM_UP, PULSE = b"user=warm-up", b"user=pulse"


def text(json_text: str) -> bytes:
    """A server's text frame."""
    return encode_frame(json_text, mask=None)


def close(code: int) -> bytes:
    """A server's close frame."""
    return encode_frame(code.to_bytes(2), Opcode.CLOSE, mask=None)


def plain(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A plain HTTP response."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class FakeServer:
    """Plays its script to every client, and counts the clients at the same time.

    What the suite asks for itself has no part in that: the warm-up gets 404, and the heartbeats
    during a run are answered after `pulse_s`.

    Args:
        responses: the HTTP responses to the first, second, … connection; the last one is used for
            all further connections.
        script: the answers to each frame that a client sends; `HANG_UP` drops the connection.
        pulse_s: how late it answers the heartbeats during a run.
    """

    def __init__(
        self, *script: Answers, responses: Sequence[bytes] = (WELCOME,), pulse_s: float = 0.0
    ) -> None:
        self._pulse_s = pulse_s
        self._script = script
        self._responses = list(responses)
        self._clients = 0
        self.max_clients = 0
        self.requests: list[str] = []
        self._handlers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Listen on a free port of the loopback; yields the base URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            yield f"http://{host}:{port}"
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        client = WireClient(reader, writer, "fake")
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if WARM_UP in head:
                await client.send_bytes(plain(404))
            elif PULSE in head:
                await self._answer_all(client)
            else:
                await self._converse(head, client)
        finally:
            await client.close()

    async def _answer_all(self, client: WireClient) -> None:
        await client.send_bytes(WELCOME)
        while (frame := await client.read_frame()) is not None and frame.opcode != Opcode.CLOSE:
            await asyncio.sleep(self._pulse_s)
            await client.send_bytes(text("[]"))

    async def _converse(self, head: bytes, client: WireClient) -> None:
        self._clients += 1
        self.max_clients = max(self.max_clients, self._clients)
        try:
            await self._respond(head, client)
        finally:
            self._clients -= 1

    async def _respond(self, head: bytes, client: WireClient) -> None:
        self.requests.append(head.split(b"\r\n")[0].decode())
        response = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        await client.send_bytes(response)
        if response.startswith(b"HTTP/1.1 101"):
            await self._play(client)

    async def _play(self, client: WireClient) -> None:
        for answers in self._script:
            frame = await client.read_frame()
            if frame is None or frame.opcode == Opcode.CLOSE:
                return
            for answer in answers:
                if answer == HANG_UP:
                    return
                await (
                    asyncio.sleep(answer)
                    if isinstance(answer, float)
                    else client.send_bytes(answer)
                )
        while (frame := await client.read_frame()) is not None and frame.opcode != Opcode.CLOSE:
            pass
