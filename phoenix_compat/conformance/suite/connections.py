"""The two ways to talk with a server under test: a websocket, and a long-poll session.

Each is told what to send and tells `hear` what comes, in the form of `showing`. They judge only
what no server may do.
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
from phoenix_compat.conformance.suite.format_frames import Heard, parse_json, show_frame, show_text
from phoenix_compat.conformance.suite.wire_client import (
    Headers,
    HttpResponse,
    Opcode,
    RawFrame,
    WireClient,
    encode_close,
)

_RESPONSE_TIMEOUT_S = 15.0
"""A long poll answers within its window of 10 s; what takes longer will not come."""

_FAREWELL_TIMEOUT_S = 2.0
_PROBE_TIMEOUT_S = 2.0
_NDJSON = "application/x-ndjson"

Hear = Callable[[Heard], None]


class UnplayableError(Exception):
    """A step asks for what is not there, or the server makes it impossible to go on."""


class Connection(Protocol):
    """One client of a conversation."""

    async def send_text(self, text: str) -> None:
        """Send one message."""

    async def send_binary(self, data: bytes) -> None:
        """Send one binary message."""

    async def ping(self, data: str) -> None:
        """Send a ping; websockets only."""

    async def close(self, code: int) -> None:
        """Close from this side, and hear nothing more."""

    async def probe(self) -> None:
        """Make the server say whether the connection is there still; a websocket tells unasked."""

    async def say_goodbye(self) -> None:
        """Be gone, politely if the server lets us."""


async def exchange(  # noqa: PLR0913 - the parts of a request
    base_url: str,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    timeout_s: float = _RESPONSE_TIMEOUT_S,
) -> HttpResponse:
    """One request over a TCP connection of its own, below the path of the base URL."""
    client = await WireClient.connect(base_url)
    prefix = urlsplit(base_url).path.rstrip("/")
    try:
        return await client.request(
            method, prefix + target, [*headers, ("Connection", "close")], body, timeout_s=timeout_s
        )
    finally:
        await client.close()


class WebSocketConnection:
    """A websocket after its handshake."""

    def __init__(self, client: WireClient, hear: Hear) -> None:
        self._client = client
        self._hear_all = hear
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

    async def ping(self, data: str) -> None:
        """Send a ping frame."""
        await self._client.send_frame(data, Opcode.PING)

    async def close(self, code: int) -> None:
        """Send a close frame, and hear nothing more."""
        self._is_muted = True
        await self._client.send_bytes(encode_close(code))

    async def probe(self) -> None:
        """Nothing: the end of a websocket is heard."""

    async def say_goodbye(self) -> None:
        """Close politely, and without mercy when the server does not answer."""
        if not self._listener.done():
            with suppress(ConnectionError):  # the server may be faster
                await self.close(1000)
            await asyncio.wait([self._listener], timeout=_FAREWELL_TIMEOUT_S)
        self._listener.cancel()
        await asyncio.wait([self._listener])
        await self._client.close()

    async def _listen(self) -> None:
        while (frame := await self._client.read_frame(timeout_s=None)) is not None:
            if frame.opcode == Opcode.CLOSE:
                self._hear_close(frame)
                with suppress(ConnectionError):  # it need not wait for our half of the handshake
                    await self._client.send_frame(frame.payload[:2], Opcode.CLOSE)
                return
            self._take(frame)
        self._hear({"close": 1006})

    def _hear_close(self, frame: RawFrame) -> None:
        self._hear({"close": frame.close_code})
        if frame.close_reason:
            self._hear({"violation": f"the close frame has a reason: {frame.close_reason!r}"})

    def _take(self, frame: RawFrame) -> None:
        if frame.rsv or frame.is_masked:
            self._hear({"violation": f"rsv {frame.rsv}, masked {frame.is_masked}"})
            return
        if frame.opcode >= 0x8:
            self._hear(show_frame(frame.opcode, frame.payload))
            return
        self._opcode = frame.opcode or self._opcode
        self._parts.append(frame.payload)
        if frame.is_final:
            self._hear(show_frame(self._opcode, b"".join(self._parts)))
            self._parts = []

    def _hear(self, shown: Heard) -> None:
        if not self._is_muted:
            self._hear_all(shown)


class LongPollConnection:
    """A long-poll session, polled without a pause as clients do.

    What is said in it is judged, not in what it is wrapped: HTTP status, tokens and the form of
    messages have cases of their own, which are spelled out in HTTP.

    Args:
        target: path and query that opened it.
        token: what the opening answered.
    """

    def __init__(self, base_url: str, target: str, token: str, hear: Hear) -> None:
        self._base_url = base_url
        self._target = f"{target}{'&' if '?' in target else '?'}token={quote(token, safe='')}"
        self._is_v1 = "vsn=2." not in target
        self._hear_all = hear
        self._is_gone = False
        self._is_end_checked = False
        self._probes = itertools.count(1)
        self._probe_ref: str | None = None
        self._on_probe = asyncio.Event()
        self._listener = asyncio.create_task(self._listen())

    async def send_text(self, text: str) -> None:
        """Post one message, as phoenix.js does: a batch of one line, if it can be one."""
        is_line = text.startswith("[") and "\n" not in text
        kind = _NDJSON if is_line else "application/json"
        await self._post(text.encode(), kind)

    async def send_binary(self, data: bytes) -> None:
        """Post one binary message: a line of base64."""
        await self._post(base64.b64encode(data), _NDJSON)

    async def ping(self, data: str) -> None:
        """There are no pings here."""
        raise UnplayableError("a long-poll session has no pings")

    async def close(self, code: int) -> None:
        """There is no closing here: a client that goes stays away."""
        raise UnplayableError("a long-poll session cannot be closed by its client")

    async def probe(self) -> None:
        """Send a heartbeat and wait for its answer, which is not shown; or hear that it is gone."""
        if not self._is_gone:
            await self._ask_for_life()
        if self._is_gone and not self._is_end_checked:
            self._is_end_checked = True
            await self._check_the_end()

    async def _ask_for_life(self) -> None:
        self._probe_ref = ref = f"probe-{next(self._probes)}"
        self._on_probe.clear()
        v1 = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": ref}
        await self.send_text(
            compact_json(v1 if self._is_v1 else [None, ref, "phoenix", "heartbeat", {}])
        )
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self._on_probe.wait()
        except TimeoutError:
            self._hear({"violation": "a heartbeat was taken and not answered"})

    async def _check_the_end(self) -> None:
        """A POST and a poll must both be answered 410; which of them told us first is chance."""
        self._listener.cancel()
        kind = [("Content-Type", _NDJSON)]
        heartbeat = b'[null,"end","phoenix","heartbeat",{}]'
        for response in (
            await exchange(self._base_url, "POST", self._target, kind, heartbeat),
            await exchange(self._base_url, "GET", self._target),
        ):
            if read_answer(response).get("status") != 410:
                self._hear({"violation": f"it is gone, and was answered {describe(response)}"})

    async def say_goodbye(self) -> None:
        """Poll no more; the session ends by itself."""
        self._listener.cancel()
        await asyncio.wait([self._listener])

    async def _post(self, body: bytes, kind: str) -> None:
        response = await exchange(
            self._base_url, "POST", self._target, [("Content-Type", kind)], body
        )
        match read_answer(response):
            case {"status": 200}:
                return
            case {"status": 410}:
                self._hear_gone()
            case _:
                self._hear({"violation": f"the POST was answered {describe(response)}"})

    async def _listen(self) -> None:
        try:
            while await self._poll():
                pass
        except (OSError, EOFError, ValueError) as error:
            self._hear({"violation": f"the poll failed: {type(error).__name__} {error}"})

    async def _poll(self) -> bool:
        """Poll once; whether to go on."""
        response = await exchange(self._base_url, "GET", self._target)
        match read_answer(response):
            case {"status": 200, "messages": [_, *_] as messages}:
                for message in messages:
                    self._take(message)
                return True
            case {"status": 204, "messages": []}:
                return True
            case {"status": 410}:
                self._hear_gone()
            case _:
                self._hear({"violation": f"the poll was answered {describe(response)}"})
        return False

    def _take(self, message: JSON) -> None:
        text = message if isinstance(message, str) else compact_json(message)
        shown = show_text(text.encode("utf-8", "replace"))
        if self._is_probe(shown.get("text")):
            self._on_probe.set()
        else:
            self._hear(shown)

    def _is_probe(self, message: JSON) -> bool:
        ref = None
        if isinstance(message, list) and len(message) == 5:
            ref = message[1]
        elif isinstance(message, dict):
            ref = message.get("ref")
        return ref is not None and bool(ref == self._probe_ref)

    def _hear_gone(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._on_probe.set()
            self._hear({"gone": True})

    def _hear(self, shown: Heard) -> None:
        self._hear_all(shown)


def read_answer(response: HttpResponse) -> dict[str, JSON]:
    """The JSON object that a long-poll request was answered with, empty when it was none."""
    try:
        answer = parse_json(response.body.decode())
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def describe(response: HttpResponse) -> str:
    """An answer in few words."""
    return f"HTTP {response.status} {response.body[:200]!r}"
