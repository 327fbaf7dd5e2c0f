"""Plays a conversation against one server, and returns the answers to each step.

After each step, fences tell when the server has handled it: first one for each topic of the client
that acted, answered by its channel, then a heartbeat of every client. A fence that a channel does
not answer, because it ended in between, is sent a second time.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import secrets
import time
from typing import Any, Final

from phoenix_compat.conformance.fuzz.normalize import Answers, canonical_response
from phoenix_compat.conformance.fuzz.peers import FENCE, Peer, connect, fence_text
from phoenix_compat.conformance.fuzz.script import (
    ID,
    Request,
    Script,
    Send,
    SendBinary,
    SendFrame,
    Step,
)
from phoenix_compat.conformance.suite.wire_client import (
    WireClient,
    build_request,
    encode_frame,
)

_FENCE_TIMEOUTS_S: Final = (0.5, 2.0)
_SETTLE_S: Final = 0.06
"""How long to wait where no fence can tell, as at the end of a channel and for presence."""

_SETTLE_FENCES: Final = 2
_MAX_FENCE_S: Final = 0.5
"""On a busy machine it waits longer: by twice what the last fence took, up to this."""

_BINARY_TOPIC: Final = b"$IDROOM"
"""The place of the topic in a binary message; its length is counted in the header."""


class Player:
    """One play of a script.

    Args:
        speed: the factor by which waits are shortened, for a quick server.
    """

    def __init__(self, base_url: str, script: Script, speed: float = 1.0) -> None:
        self._base_url = base_url
        self._script = script
        self._speed = speed
        self._name = f"fuzz-{secrets.token_hex(6)}"
        self._peers: dict[str, Peer] = {}
        self._numbers = itertools.count(1)
        self._fence_s = 0.0

    async def play(self) -> Answers:
        """Play it."""
        answers: Answers = []
        try:
            for client in self._script.clients:
                target = client.target.replace(ID, self._name)
                peer, response = await connect(client, self._base_url, target)
                answers.append({client.name: canonical_response(response)})
                if peer is not None:
                    self._peers[client.name] = peer
            for step in self._script.steps:
                answers.append(await self._play(step))
        finally:
            await asyncio.gather(*(peer.drop() for peer in self._peers.values()))
        return answers

    async def _play(self, step: Step) -> dict[str, Any]:
        if isinstance(step, Request):
            return {"http": await self._request(step)}
        peer = self._peers.get(step.client)
        if peer is None:
            return {}
        match step:
            case Send(texts=texts):
                await peer.send([text.replace(ID, self._name) for text in texts])
            case SendBinary():
                await peer.send_binary(self._binary(step.bytes))
            case SendFrame():
                mask = b"\x01\x02\x03\x04" if step.is_masked else None
                payload = base64.b64decode(step.data)
                frame = encode_frame(
                    payload, step.opcode, is_final=step.is_final, rsv=step.rsv, mask=mask
                )
                await peer.send_raw(frame)
        await self._settle(step, peer)
        heard = {name: other.heard.take() for name, other in self._peers.items()}
        return {name: lines for name, lines in heard.items() if lines}

    async def _settle(self, step: Step, peer: Peer) -> None:
        if not _is_plain(step):
            await asyncio.sleep(_SETTLE_S / self._speed + _SETTLE_FENCES * self._fence_s)
        if isinstance(step, SendFrame) and not step.is_final:
            return  # a fence would interrupt the message
        began_at_s = time.monotonic()
        await self._fence(peer, [topic for topic in self._script.topics if "task" not in topic])
        await asyncio.gather(*(self._fence(other, []) for other in self._peers.values()))
        self._fence_s = min(time.monotonic() - began_at_s, _MAX_FENCE_S)

    async def _fence(self, peer: Peer, topics: list[str]) -> None:
        for timeout_s in _FENCE_TIMEOUTS_S:
            refs, texts = [], []
            for topic in (*topics, "phoenix"):
                refs.append(f"{FENCE}{next(self._numbers)}")
                event = "heartbeat" if topic == "phoenix" else _fence_event(topic)
                name = topic.replace(ID, self._name)
                texts.append(fence_text(peer.client, refs[-1], name, event))
            await peer.send(texts)
            if await peer.heard.fenced(refs, timeout_s):
                return

    def _binary(self, data: bytes) -> bytes:
        """The message with the topic of this play in place of `$IDROOM`."""
        topic = f"room:{self._name}".encode()
        if data[:1] != b"\x00" or len(data) < 5 or _BINARY_TOPIC not in data:
            return data
        return data[:3] + bytes((len(topic),)) + data[4:].replace(_BINARY_TOPIC, topic, 1)

    async def _request(self, step: Request) -> list[str]:
        wire = await WireClient.connect(self._base_url)
        try:
            headers = [("Host", wire.host), *step.headers]
            target = step.target.replace(ID, self._name)
            await wire.send_bytes(
                build_request(step.method, target, headers, step.body.encode(), step.version)
            )
            return canonical_response(await wire.read_response(method=step.method))
        except (OSError, EOFError, TimeoutError) as error:
            return [type(error).__name__]
        finally:
            await wire.close()


def _fence_event(topic: str) -> str:
    return "list" if topic.startswith("presence:") else "reply_ok"


def _is_plain(step: Step) -> bool:
    """Whether fences alone tell when the step has been handled."""
    if not isinstance(step, Send):
        return False
    return all(_is_plain_text(text) for text in step.texts)


_PLAIN: Final = frozenset(
    {"echo", "echo_error", "reply_ok", "reply_binary", "noreply", "push_binary", "heartbeat"}
)


def _is_plain_text(text: str) -> bool:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    event = None
    if isinstance(message, list) and len(message) == 5:
        event = message[3]
    elif isinstance(message, dict):
        event = message.get("event")
    return isinstance(event, str) and event in _PLAIN
