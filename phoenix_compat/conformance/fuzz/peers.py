"""One client of a conversation: a websocket, or a long-poll session.

A peer records what it receives, in the form of `normalize`, by topic. Fences are messages of its
own whose replies tell that everything before them was handled; they are not recorded.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from contextlib import suppress
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from phoenix_compat.conformance.fuzz.normalize import (
    RESET,
    canonical,
    canonical_bytes,
    canonical_response,
    ref_of,
    topic_of,
    topic_of_binary,
)
from phoenix_compat.conformance.fuzz.script import Client
from phoenix_compat.conformance.suite.connections import exchange, read_json
from phoenix_compat.conformance.suite.wire_client import (
    Opcode,
    WireClient,
    encode_frame,
)

FENCE: Final = "fence-"
_NDJSON: Final = "application/x-ndjson"
_POST_TIMEOUT_S: Final = 15.0
_POSTS: Final = "(posts)"
"""Where answers to POSTs are recorded: their order beside that of a poll is not defined."""

_NO_RESPONSE: Final = (
    EOFError,
    TimeoutError,
    ConnectionResetError,
    ValueError,
    asyncio.LimitOverrunError,
)

_MAX_MESSAGES: Final = 1_000
"""The most that a peer records in one step; what comes after is dropped, and the drop recorded."""


class Heard:
    """What a peer has received since it was last asked."""

    def __init__(self) -> None:
        self._topics: dict[str, list[str]] = defaultdict(list)
        self._fences: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._count = 0
        self.ended = asyncio.Event()

    def text(self, text: str) -> None:
        """Record a text message, unless it is the reply to a fence."""
        ref = ref_of(text)
        if isinstance(ref, str) and ref.startswith(FENCE):
            self._fences[ref].set()
        else:
            self.note(topic_of(text), canonical(text))

    def note(self, topic: str, line: str) -> None:
        """Record something."""
        self._count += 1
        if self._count <= _MAX_MESSAGES:
            self._topics[topic].append(line)
        elif self._count == _MAX_MESSAGES + 1:
            self._topics[""].append(f"more than {_MAX_MESSAGES} messages")

    def end(self, how: str) -> None:
        """Record the end of the connection; once."""
        if not self.ended.is_set():
            self.note("", how)
            self.ended.set()
            for fence in self._fences.values():
                fence.set()

    async def fenced(self, refs: list[str], timeout_s: float) -> list[str]:
        """Wait until all these fences have come, or the end; returns those that have not."""
        if self.ended.is_set():
            return []
        fences = {ref: self._fences[ref] for ref in refs}
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for fence in fences.values():
                    await fence.wait()
        for ref in refs:
            self._fences.pop(ref, None)
        return [ref for ref, fence in fences.items() if not fence.is_set()]

    def take(self) -> dict[str, list[str]]:
        """What was recorded, by topic; of presence in alphabetical order."""
        taken = {
            topic: sorted(lines) if topic.startswith("presence:") else lines
            for topic, lines in sorted(self._topics.items())
        }
        self._topics.clear()
        self._count = 0
        return taken


class Peer(Protocol):
    """A connected client."""

    heard: Heard
    client: Client

    async def send(self, texts: list[str]) -> None:
        """Send text messages in one go."""

    async def send_binary(self, data: bytes) -> None:
        """Send a binary message."""

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are; websockets only."""

    async def drop(self) -> None:
        """End it without a word."""


class WebSocketPeer:
    """A websocket after its handshake."""

    def __init__(self, client: Client, wire: WireClient) -> None:
        self.client = client
        self.heard = Heard()
        self._wire = wire
        self._listener = asyncio.create_task(self._listen())

    async def send(self, texts: list[str]) -> None:
        """See Peer."""
        for text in texts:
            await self._send(encode_frame(text))

    async def send_binary(self, data: bytes) -> None:
        """See Peer."""
        await self._send(encode_frame(data, Opcode.BINARY))

    async def send_raw(self, data: bytes) -> None:
        """See Peer."""
        await self._send(data)

    async def _send(self, data: bytes) -> None:
        if not self.heard.ended.is_set():
            with suppress(ConnectionError):  # its end has not been read yet
                await self._wire.send_bytes(data)

    async def drop(self) -> None:
        """See Peer."""
        self._listener.cancel()
        await asyncio.wait([self._listener])
        await self._wire.close()

    async def _listen(self) -> None:
        while (frame := await self._wire.read_frame(timeout_s=None)) is not None:
            if frame.opcode == Opcode.TEXT:
                self.heard.text(frame.payload.decode(errors="replace"))
            elif frame.opcode == Opcode.CLOSE:
                self.heard.end(f"close {frame.close_code}")
                return
            else:
                topic = topic_of_binary(frame.payload) if frame.opcode == Opcode.BINARY else ""
                self.heard.note(topic, f"opcode {frame.opcode} {canonical_bytes(frame.payload)}")
        self.heard.end(RESET if self._wire.was_reset else "close 1006")


class LongPollPeer:
    """A long-poll session that polls without a pause."""

    def __init__(self, client: Client, base_url: str, target: str, token: str) -> None:
        self.client = client
        self.heard = Heard()
        self._base_url = base_url
        self._target = f"{target}&token={quote(token, safe='')}"
        self._token = token
        self._is_token_noted = False
        self._listener = asyncio.create_task(self._listen())

    async def send(self, texts: list[str]) -> None:
        """See Peer."""
        if all(text.startswith("[") and "\n" not in text for text in texts):
            await self._post("\n".join(texts).encode(), _NDJSON)
        else:
            for text in texts:
                await self._post(text.encode(), "application/json")

    async def send_binary(self, data: bytes) -> None:
        """See Peer."""
        await self._post(base64.b64encode(data), _NDJSON)

    async def send_raw(self, data: bytes) -> None:
        """Do nothing: there are no frames."""

    async def drop(self) -> None:
        """See Peer."""
        self._listener.cancel()
        await asyncio.wait([self._listener])

    async def _post(self, body: bytes, content_type: str) -> None:
        if self.heard.ended.is_set():
            return
        headers = [("Content-Type", content_type)]
        try:
            response = await exchange(
                self._base_url, "POST", self._target, headers, body, timeout_s=_POST_TIMEOUT_S
            )
        except (OSError, EOFError, TimeoutError) as error:
            self.heard.note(_POSTS, f"POST: {type(error).__name__}")
            return
        status = read_json(response).get("status", f"HTTP {response.status}")
        if status == 410:
            self.heard.end("gone")
        elif status != 200:
            self.heard.note(_POSTS, f"POST: {status}")

    async def _listen(self) -> None:
        while True:
            try:
                response = await exchange(self._base_url, "GET", self._target)
            except (OSError, EOFError, TimeoutError) as error:
                self.heard.end(f"GET: {type(error).__name__}")
                return
            match read_json(response):
                case {"status": 200 | 204, "messages": list() as messages} as body:
                    if body.get("token") != self._token and not self._is_token_noted:
                        self._is_token_noted = True
                        self.heard.note("", "a poll without the token of the session")
                    for message in messages:
                        self.heard.text(message if isinstance(message, str) else repr(message))
                case {"status": 410}:
                    self.heard.end("gone")
                    return
                case _:
                    self.heard.end(f"GET: HTTP {response.status}")
                    return


def fence_text(client: Client, ref: str, topic: str, event: str) -> str:
    """A message whose reply has this ref."""
    message: Any = [None, ref, topic, event, {}]
    if client.is_v1:
        message = {"topic": topic, "event": event, "payload": {}, "ref": ref}
    return json.dumps(message, separators=(",", ":"))


async def connect(client: Client, base_url: str, target: str) -> tuple[Peer | None, list[str]]:
    """Connect a client; returns None if it was refused, and the response as lines.

    A server that accepts the connection and sends no valid response has answered, too: with the
    name of the error.

    Raises:
        OSError: the server accepts no connection.
    """
    try:
        if client.is_long_poll:
            return await _connect_long_poll(client, base_url, target)
        return await _connect_websocket(client, base_url, target)
    except _NO_RESPONSE as error:
        return None, [type(error).__name__]


async def _connect_long_poll(
    client: Client, base_url: str, target: str
) -> tuple[Peer | None, list[str]]:
    response = await exchange(base_url, "GET", target, client.headers)
    lines = canonical_response(response)
    token = read_json(response).get("token")
    if not isinstance(token, str):
        return None, lines
    return LongPollPeer(client, base_url, target, token), lines


async def _connect_websocket(
    client: Client, base_url: str, target: str
) -> tuple[Peer | None, list[str]]:
    wire = await WireClient.connect(base_url)
    peer = None
    try:
        response = await wire.handshake(path_prefix(base_url) + target, extra=client.headers)
        if response.status == 101:
            peer = WebSocketPeer(client, wire)
    finally:
        if peer is None:
            await wire.close()
    return peer, canonical_response(response)


def path_prefix(base_url: str) -> str:
    """The path of the URL, which stands before every target."""
    return urlsplit(base_url).path.rstrip("/")
