"""Clients for each transport and version, so that one test can run on all four.

Messages are those of V2, `[join_ref, ref, topic, event, payload]`, whatever is on the wire. Over V1
the join_ref of what comes is None, because V1 never carries it: compare with `as_received`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from tests.patience import patient
from tests.polling import Poller
from tests.wire import OK, PhoenixWire

Transport: TypeAlias = Literal["websocket", "longpoll"]
Vsn: TypeAlias = Literal["1.0.0", "2.0.0"]

_TIMEOUT_S: Final = 10.0
_V1_KEYS: Final = {"event", "payload", "ref", "topic"}


class Cell(NamedTuple):
    """A cell of the matrix."""

    transport: Transport
    vsn: Vsn

    def __str__(self) -> str:
        """`websocket-1.0.0`, as tests are named."""
        return f"{self.transport}-{self.vsn}"


WS_V1: Final = Cell("websocket", "1.0.0")
WS_V2: Final = Cell("websocket", "2.0.0")
LP_V1: Final = Cell("longpoll", "1.0.0")
LP_V2: Final = Cell("longpoll", "2.0.0")
CELLS: Final = (WS_V1, WS_V2, LP_V1, LP_V2)


class ClientTransport(Protocol):
    """Sends and receives text over one transport."""

    async def send_text(self, text: str) -> None:
        """Send one message and wait until the server has accepted it."""

    async def recv_texts(self) -> list[str]:
        """Wait for the next messages, one or more."""

    async def recv_end(self) -> int:
        """Wait for the end of the connection and return its code; no message may come before it."""

    async def drop(self) -> None:
        """Be gone without a word."""


class WebSocketTransport:
    """Websocket frames; the connection ends with a close frame."""

    def __init__(self, wire: PhoenixWire) -> None:
        self._wire = wire

    async def send_text(self, text: str) -> None:
        """See ClientTransport."""
        await self._wire.send_text(text)

    async def recv_texts(self) -> list[str]:
        """See ClientTransport."""
        return [await self._wire.recv_text()]

    async def recv_end(self) -> int:
        """See ClientTransport."""
        return await self._wire.recv_close()

    async def drop(self) -> None:
        """See ClientTransport."""
        await self._wire.close()


class LongPollTransport:
    """POSTs and polls; the session ends with a poll that gets 410 and a new token."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    async def send_text(self, text: str) -> None:
        """See ClientTransport."""
        answer = await self._poller.post(text, "application/json")
        assert answer.json == {"status": 200}

    async def recv_texts(self) -> list[str]:
        """See ClientTransport."""
        answer = await self._poller.poll()
        assert answer["status"] == 200, answer
        assert answer["token"] == self._poller.token
        texts: list[str] = answer["messages"]
        return texts

    async def recv_end(self) -> int:
        """See ClientTransport."""
        answer = await self._poller.poll()
        while answer["status"] == 204:
            answer = await self._poller.poll()
        assert answer["token"] != self._poller.token
        assert answer["messages"] == []
        status: int = answer["status"]
        return status

    async def drop(self) -> None:
        """See ClientTransport."""


class MatrixClient:
    """A client for any transport and version. Its join_refs start at 11 and its refs at 1."""

    def __init__(self, cell: Cell, transport: ClientTransport) -> None:
        self.cell = cell
        self.transport = transport
        self._received: list[Any] = []
        self._fences = itertools.count(1)

    @classmethod
    async def connect(cls, base_url: str, cell: Cell, query: str = "") -> MatrixClient:
        """Connect to the socket at `/socket`; the query is `&name=value` or empty."""
        target = f"/socket/{cell.transport}?vsn={cell.vsn}{query}"
        if cell.transport == "websocket":
            return cls(cell, WebSocketTransport(await PhoenixWire.open(base_url, target)))
        return cls(cell, LongPollTransport(await Poller.open(base_url, target)))

    async def send(self, message: list[Any]) -> None:
        """Send a message; the server must accept it."""
        join_ref, ref, topic, event, payload = message
        encoded: Any = message
        if self.cell.vsn == "1.0.0":
            encoded = {"topic": topic, "event": event, "payload": payload, "ref": ref}
            if join_ref is not None:
                encoded["join_ref"] = join_ref
        await self.transport.send_text(json.dumps(encoded))

    async def recv(self) -> list[Any]:
        """Wait for the next message."""
        if not self._received:
            async with asyncio.timeout(patient(_TIMEOUT_S)):
                self._received = [self._decode(text) for text in await self.transport.recv_texts()]
        message: list[Any] = self._received.pop(0)
        return message

    def _decode(self, text: str) -> list[Any]:
        decoded: Any = json.loads(text)
        if self.cell.vsn == "1.0.0":
            assert decoded.keys() == _V1_KEYS
            return [None, decoded["ref"], decoded["topic"], decoded["event"], decoded["payload"]]
        assert len(decoded) == 5
        message: list[Any] = decoded
        return message

    async def recv_many(self, count: int) -> list[list[Any]]:
        """Wait for the next `count` messages."""
        return [await self.recv() for _message in range(count)]

    async def recv_end(self) -> int:
        """The code with which the server ends this connection; nothing may come before."""
        assert self._received == []
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            return await self.transport.recv_end()

    def as_received(self, *messages: list[Any]) -> list[list[Any]]:
        """These messages as this client receives them."""
        if self.cell.vsn == "1.0.0":
            return [[None, *message[1:]] for message in messages]
        return list(messages)

    async def ask(self, message: list[Any]) -> list[Any]:
        """Send a message and receive the next."""
        await self.send(message)
        return await self.recv()

    async def join(self, topic: str = "room:a", join_ref: str = "11", payload: Any = None) -> None:
        """Join a topic; the next message must be the ok reply."""
        answer = await self.ask([join_ref, "1", topic, "phx_join", payload or {}])
        assert answer[1:4] == ["1", topic, "phx_reply"]
        assert answer[4]["status"] == "ok", answer

    async def fence(self) -> None:
        """Show that the server has sent nothing else: a heartbeat reply must be next."""
        ref = f"fence-{next(self._fences)}"
        assert await self.ask([None, ref, "phoenix", "heartbeat", {}]) == [
            *(None, ref, "phoenix", "phx_reply"),
            OK,
        ]

    async def drop(self) -> None:
        """Be gone without a word."""
        await self.transport.drop()
