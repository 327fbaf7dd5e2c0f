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
from phoenix_compat.conformance.fuzz.peers import (
    FENCE,
    Peer,
    connect,
    fence_text,
    path_prefix,
)
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
    Opcode,
    WireClient,
    build_request,
    encode_frame,
)
from phoenix_compat.control_token import control_headers

_FENCE_TIMEOUTS_S: Final = (0.5, 2.0)
_SETTLE_S: Final = 0.06
"""How long to wait where no fence can tell, as at the end of a channel and for presence."""

_SETTLE_FENCES: Final = 2
_MAX_FENCE_S: Final = 0.5
"""On a busy machine it waits longer: by twice what the last fence took, up to this."""

_MAX_UNANSWERED: Final = 3
_DATA_OPCODES: Final = frozenset({Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY})

_ENDING_S: Final = 0.8
"""How long after the end of a client the others are listened to: Bandit ends the channels of a
websocket half a second after an error in it."""

_BINARY_TOPICS: Final = {b"$IDROOM": "room:", b"$IDPRESENCE": "presence:"}
"""What stands for a topic in a binary message; its length is counted in the header."""


class ChannelFences:
    """Whether a server answers the fences of channels, which have no join_ref.

    Phoenix 1.8.3 to 1.8.11 drops them. A play waits once for fences that are not answered; if that
    happens in some plays after one another, the next ones send none, and wait a little instead.
    """

    def __init__(self) -> None:
        self._unanswered = 0

    @property
    def are_useful(self) -> bool:
        """Whether to send them."""
        return self._unanswered < _MAX_UNANSWERED

    def note(self, *, is_answered: bool) -> None:
        """Remember whether they were answered."""
        if self.are_useful:
            self._unanswered = 0 if is_answered else self._unanswered + 1


class Player:
    """One play of a script.

    Args:
        speed: the factor by which waits are shortened, for a quick server.
        fences: what is known of the server.
    """

    def __init__(
        self,
        base_url: str,
        script: Script,
        speed: float = 1.0,
        fences: ChannelFences | None = None,
    ) -> None:
        self._fences = fences or ChannelFences()
        self._has_given_up = False
        self._unfinished: frozenset[str] = frozenset()
        self._base_url = base_url
        self._script = script
        self._speed = speed
        self._name = f"fuzz-{secrets.token_hex(6)}"
        self._peers: dict[str, Peer] = {}
        self._numbers = itertools.count(1)
        self._fence_s = 0.0
        self._ended: set[str] = set()

    async def play(self) -> Answers:
        """Play it."""
        answers: Answers = []
        try:
            for client in self._script.clients:
                target = client.target.replace(ID, self._name)
                peer, response = await connect(client, self._base_url, target)
                answers.append({client.name: response})
                if peer is not None:
                    self._peers[client.name] = peer
            for step in self._script.steps:
                answers.append(await self._play(step))
        finally:
            await asyncio.gather(*(peer.drop() for peer in self._peers.values()))
        return answers

    async def _play(self, step: Step) -> dict[str, Any]:
        if isinstance(step, Request):
            answered: dict[str, Any] = {"http": await self._request(step)}
            if self._peers:  # they may have heard a broadcast
                await asyncio.sleep(_SETTLE_S / self._speed)
                await self._fence_all()
                await self._settle_ends()
            return answered | self._take()
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
        return self._take()

    def _take(self) -> dict[str, Any]:
        heard = {name: other.heard.take() for name, other in self._peers.items()}
        return {name: lines for name, lines in heard.items() if lines}

    async def _settle(self, step: Step, peer: Peer) -> None:
        if isinstance(step, SendFrame) and step.opcode in _DATA_OPCODES:
            ended = {step.client} if step.is_final else set()
            self._unfinished = (self._unfinished | {step.client}) - ended
        is_fencing = self._fences.are_useful and not self._has_given_up
        is_inside = peer.client.name in self._unfinished
        if is_inside or not (_is_plain(step) and is_fencing):
            await asyncio.sleep(_SETTLE_S / self._speed + _SETTLE_FENCES * self._fence_s)
        began_at_s = time.monotonic()
        if not is_inside:
            topics = [topic for topic in self._script.topics if "task" not in topic]
            await self._fence(peer, topics if is_fencing else [])
        await self._fence_all()
        self._fence_s = min(time.monotonic() - began_at_s, _MAX_FENCE_S)
        await self._settle_ends()

    async def _settle_ends(self) -> None:
        """Wait for what clients hear when another one has just ended."""
        ended = {name for name, peer in self._peers.items() if peer.heard.ended.is_set()}
        if ended > self._ended and len(ended) < len(self._peers):
            await asyncio.sleep(_ENDING_S / self._speed)
            await self._fence_all()
        self._ended |= ended

    async def _fence_all(self) -> None:
        """Fence every client, but for those in the middle of a message: it would interrupt."""
        peers = (self._peers[name] for name in self._peers.keys() - self._unfinished)
        await asyncio.gather(*(self._fence(peer, []) for peer in peers))

    async def _fence(self, peer: Peer, topics: list[str]) -> None:
        refs: list[str] = []
        missing: list[str] = []
        for timeout_s in _FENCE_TIMEOUTS_S:
            refs, texts = [], []
            for topic in (*topics, "phoenix"):
                refs.append(f"{FENCE}{next(self._numbers)}")
                event = "heartbeat" if topic == "phoenix" else _fence_event(topic)
                name = topic.replace(ID, self._name)
                texts.append(fence_text(peer.client, refs[-1], name, event))
            await peer.send(texts)
            missing = await peer.heard.fenced(refs, timeout_s)
            if not missing:
                break
        is_alive = refs[-1] not in missing and not peer.heard.ended.is_set()
        if topics and is_alive:
            self._has_given_up = bool(missing)
            self._fences.note(is_answered=not missing)

    def _binary(self, data: bytes) -> bytes:
        """The message with a topic of this play in place of `$IDROOM` or `$IDPRESENCE`."""
        for placeholder, kind in _BINARY_TOPICS.items():
            if data[:1] == b"\x00" and len(data) > 4 and placeholder in data:
                topic = f"{kind}{self._name}".encode()
                return data[:3] + bytes((len(topic),)) + data[4:].replace(placeholder, topic, 1)
        return data

    async def _request(self, step: Request) -> list[str]:
        wire = await WireClient.connect(self._base_url)
        try:
            headers = [("Host", wire.host), *step.headers, *await self._control(step)]
            target = path_prefix(self._base_url) + step.target.replace(ID, self._name)
            await wire.send_bytes(
                build_request(step.method, target, headers, step.body.encode(), step.version)
            )
            return canonical_response(await wire.read_response(method=step.method))
        except (OSError, EOFError, TimeoutError) as error:
            return [type(error).__name__]
        finally:
            await wire.close()

    async def _control(self, step: Request) -> list[tuple[str, str]]:
        """The control token that `conformance serve` on this machine wants for a broadcast."""
        if "broadcast" not in step.target:
            return []
        headers = await asyncio.to_thread(control_headers, self._base_url, "conformance", None)
        return list(headers.items())


def _fence_event(topic: str) -> str:
    return "list" if topic.startswith("presence:") else "reply_ok"


def _is_plain(step: Step) -> bool:
    """Whether fences alone tell when the step has been handled."""
    if not isinstance(step, Send):
        return False
    return all(_is_plain_text(text) for text in step.texts)


_PLAIN: Final = frozenset(
    {
        "echo",
        "echo_error",
        "reply_ok",
        "reply_binary",
        "noreply",
        "push_binary",
        "whoami",
        "heartbeat",
    }
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
