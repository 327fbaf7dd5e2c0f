"""Connections to the server under test: a websocket, or a long-poll session.

A connection sends what it is given, and passes what it receives to `on_received` in the format of
`format_frames`. It reports as a violation only what no server may send.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from urllib.parse import quote, urlsplit

from phoenix_compat.conformance.suite.cases import JSON, compact_json
from phoenix_compat.conformance.suite.format_frames import (
    Received,
    parse_json,
    show_frame,
    show_text,
)
from phoenix_compat.conformance.suite.pace import TimeLimits
from phoenix_compat.conformance.suite.wire_client import (
    Headers,
    HttpResponse,
    Opcode,
    RawFrame,
    WireClient,
    encode_close,
)

ANSWER_TIMEOUT_S = 5.0
"""The limit for what is answered at once, on a machine that is not busy."""

_WINDOW_S = 10.0
"""A long poll is answered within this time. It is the server's, and does not grow."""

_RESPONSE_TIMEOUT_S = _WINDOW_S + ANSWER_TIMEOUT_S
_CLOSE_TIMEOUT_S = 2.0
_PROBE_TIMEOUT_S = 2.0
_NDJSON = "application/x-ndjson"

OnReceived = Callable[[Received], None]


class UnplayableError(Exception):
    """A step is not possible, or the server makes it impossible to continue."""


class Connection(Protocol):
    """One client of a conversation."""

    async def send_text(self, text: str) -> None:
        """Send one message."""

    async def send_binary(self, data: bytes) -> None:
        """Send one binary message."""

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are; websockets only."""

    async def ping(self, data: str) -> None:
        """Send a ping; websockets only."""

    async def close(self, code: int) -> None:
        """Close from the client's side; receive nothing more."""

    async def probe(self) -> None:
        """Make sure that everything sent so far has arrived, or that the connection has ended."""

    async def disconnect(self) -> None:
        """Close the connection, with a close handshake if there is one."""


async def exchange(  # noqa: PLR0913 - the parts of a request
    base_url: str,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    timeout_s: float = _RESPONSE_TIMEOUT_S,
) -> HttpResponse:
    """Make one request on a new TCP connection; the target is relative to the base URL."""
    async with asyncio.timeout(timeout_s):
        client = await WireClient.connect(base_url)
    prefix = urlsplit(base_url).path.rstrip("/")
    try:
        return await client.request(
            method, prefix + target, [*headers, ("Connection", "close")], body, timeout_s=timeout_s
        )
    finally:
        await client.close()


def response_timeout_s(pace: TimeLimits) -> float:
    """The limit for a response that may be that of a long poll."""
    return _WINDOW_S + pace.stretch(ANSWER_TIMEOUT_S)


class WebSocketConnection:
    """A websocket after its handshake."""

    def __init__(self, client: WireClient, on_received: OnReceived, pace: TimeLimits) -> None:
        self._client = client
        self._on_received = on_received
        self._pace = pace
        self._is_muted = False
        self._parts: list[bytes] = []
        self._opcode = 0
        self._listener = asyncio.create_task(self._listen())

    async def send_text(self, text: str) -> None:
        """Send one text frame."""
        await self._client.send_frame(text)

    async def send_binary(self, data: bytes) -> None:
        """Send one binary frame."""
        await self._client.send_frame(data, Opcode.BINARY)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self._client.send_bytes(data)

    async def ping(self, data: str) -> None:
        """Send a ping frame."""
        await self._client.send_frame(data, Opcode.PING)

    async def close(self, code: int) -> None:
        """Send a close frame; receive nothing more."""
        self._is_muted = True
        await self._client.send_bytes(encode_close(code))

    async def probe(self) -> None:
        """Do nothing: the end of a websocket is always received."""

    async def disconnect(self) -> None:
        """Close with a handshake; drop the connection if the server does not answer in time."""
        if not self._listener.done():
            timeout_s = self._pace.stretch(_CLOSE_TIMEOUT_S)
            # The server may have closed first, or may read no more.
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.close(1000)
            await asyncio.wait([self._listener], timeout=timeout_s)
        self._listener.cancel()
        await asyncio.wait([self._listener])
        await self._client.close()

    async def _listen(self) -> None:
        while (frame := await self._client.read_frame(timeout_s=None)) is not None:
            if frame.opcode == Opcode.CLOSE:
                self._emit_close(frame)
                with suppress(ConnectionError):  # the server need not wait for our close frame
                    await self._client.send_frame(frame.payload[:2], Opcode.CLOSE)
                return
            self._handle(frame)
        self._emit({"close": 1006})

    def _emit_close(self, frame: RawFrame) -> None:
        self._emit({"close": frame.close_code})
        if frame.close_reason:
            self._emit({"violation": f"the close frame has a reason: {frame.close_reason!r}"})

    def _handle(self, frame: RawFrame) -> None:
        if frame.rsv or frame.is_masked:
            self._emit({"violation": f"rsv {frame.rsv}, masked {frame.is_masked}"})
            return
        if frame.opcode >= 0x8:
            self._emit(show_frame(frame.opcode, frame.payload))
            return
        self._opcode = frame.opcode or self._opcode
        self._parts.append(frame.payload)
        if frame.is_final:
            self._emit(show_frame(self._opcode, b"".join(self._parts)))
            self._parts = []

    def _emit(self, frame: Received) -> None:
        if not self._is_muted:
            self._on_received(frame)


class LongPollConnection:
    """A long-poll session that polls without a pause, as clients do.

    Only the messages are compared. HTTP status, tokens and the encoding of messages have their own
    cases, which are written in HTTP.

    Args:
        target: the path and query that opened it.
        token: the token in the response to the first request.
    """

    def __init__(
        self, base_url: str, target: str, token: str, on_received: OnReceived, pace: TimeLimits
    ) -> None:
        self._base_url = base_url
        self._pace = pace
        self._target = f"{target}{'&' if '?' in target else '?'}token={quote(token, safe='')}"
        self._is_v1 = "vsn=2." not in target
        self._on_received = on_received
        self._is_gone = False
        self._is_end_checked = False
        self._probes = itertools.count(1)
        self._probe_ref: str | None = None
        self._probe_answered = asyncio.Event()
        self._listener = asyncio.create_task(self._listen())

    async def send_text(self, text: str) -> None:
        """Post one message as phoenix.js does: as a batch of one line, if possible."""
        is_line = text.startswith("[") and "\n" not in text
        content_type = _NDJSON if is_line else "application/json"
        await self._post(text.encode(), content_type)

    async def send_binary(self, data: bytes) -> None:
        """Post one binary message as a line of base64."""
        await self._post(base64.b64encode(data), _NDJSON)

    async def send_raw(self, data: bytes) -> None:
        """Raise UnplayableError: long-polling has no frames."""
        raise UnplayableError("a long-poll session has no frames")

    async def ping(self, data: str) -> None:
        """Raise UnplayableError: long-polling has no pings."""
        raise UnplayableError("a long-poll session has no pings")

    async def close(self, code: int) -> None:
        """Raise UnplayableError: a long-poll client cannot close its session."""
        raise UnplayableError("a long-poll session cannot be closed by its client")

    async def probe(self) -> None:
        """Send a heartbeat and wait for its reply, which is not passed on, or for the end."""
        if not self._is_gone:
            await self._send_heartbeat()
        if self._is_gone and not self._is_end_checked:
            self._is_end_checked = True
            await self._check_end()

    async def _send_heartbeat(self) -> None:
        self._probe_ref = ref = f"probe-{next(self._probes)}"
        self._probe_answered.clear()
        v1 = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": ref}
        await self.send_text(
            compact_json(v1 if self._is_v1 else [None, ref, "phoenix", "heartbeat", {}])
        )
        try:
            async with asyncio.timeout(self._pace.stretch(_PROBE_TIMEOUT_S)):
                await self._probe_answered.wait()
        except TimeoutError:
            self._emit({"violation": "a heartbeat was accepted but not answered"})

    async def _check_end(self) -> None:
        """Check that a POST and a poll are both answered with 410, whichever found the end."""
        self._listener.cancel()
        headers = [("Content-Type", _NDJSON)]
        heartbeat = b'[null,"end","phoenix","heartbeat",{}]'
        for response in (
            await self._exchange("POST", headers, heartbeat),
            await self._exchange("GET"),
        ):
            if read_json(response).get("status") != 410:
                reason = f"the session has ended, but the answer was {describe(response)}"
                self._emit({"violation": reason})

    async def disconnect(self) -> None:
        """Stop polling; the session then times out."""
        self._listener.cancel()
        await asyncio.wait([self._listener])

    async def _post(self, body: bytes, content_type: str) -> None:
        response = await self._exchange("POST", [("Content-Type", content_type)], body)
        match read_json(response):
            case {"status": 200}:
                return
            case {"status": 410}:
                self._emit_gone()
            case _:
                self._emit({"violation": f"the POST was answered {describe(response)}"})

    async def _exchange(
        self, method: str, headers: Headers = (), body: bytes = b""
    ) -> HttpResponse:
        timeout_s = response_timeout_s(self._pace)
        return await exchange(
            self._base_url, method, self._target, headers, body, timeout_s=timeout_s
        )

    async def _listen(self) -> None:
        try:
            while await self._poll():
                pass
        except (OSError, EOFError, ValueError) as error:
            self._emit({"violation": f"the poll failed: {type(error).__name__} {error}"})

    async def _poll(self) -> bool:
        """Poll once; returns whether to continue."""
        response = await self._exchange("GET")
        match read_json(response):
            case {"status": 200, "messages": [_, *_] as messages}:
                for message in messages:
                    self._handle(message)
                return True
            case {"status": 204, "messages": []}:
                return True
            case {"status": 410}:
                self._emit_gone()
            case _:
                self._emit({"violation": f"the poll was answered {describe(response)}"})
        return False

    def _handle(self, message: JSON) -> None:
        text = message if isinstance(message, str) else compact_json(message)
        frame = show_text(text.encode("utf-8", "replace"))
        if self._is_probe(frame.get("text")):
            self._probe_answered.set()
        else:
            self._emit(frame)

    def _is_probe(self, message: JSON) -> bool:
        ref = None
        if isinstance(message, list) and len(message) == 5:
            ref = message[1]
        elif isinstance(message, dict):
            ref = message.get("ref")
        return ref is not None and bool(ref == self._probe_ref)

    def _emit_gone(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._probe_answered.set()
            self._emit({"gone": True})

    def _emit(self, frame: Received) -> None:
        self._on_received(frame)


def read_json(response: HttpResponse) -> dict[str, JSON]:
    """The JSON object in a long-poll response; empty if the body is not a JSON object."""
    try:
        answer = parse_json(response.body.decode())
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def describe(response: HttpResponse) -> str:
    """A short description of a response."""
    return f"HTTP {response.status} {response.body[:200]!r}"
