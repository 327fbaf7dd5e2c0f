"""One kind of client for each transport and version, so that one test can be played on all four.

Messages are those of V2, `[join_ref, ref, topic, event, payload]`, whatever is on the wire. Over V1
the join_ref of what comes is None, because V1 never carries it: compare with `as_heard`.
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

_PATIENCE_S: Final = 10.0
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


class Line(Protocol):
    """How text goes out and comes in."""

    async def send_text(self, text: str) -> None:
        """Have one message taken by the server."""

    async def recv_texts(self) -> list[str]:
        """Wait for the next messages, one or more."""

    async def recv_end(self) -> int:
        """Wait for the end of the connection, before which nothing may come: its code."""

    async def drop(self) -> None:
        """Be gone without a word."""


class WebSocketLine:
    """Frames; the end is a close frame."""

    def __init__(self, wire: PhoenixWire) -> None:
        self._wire = wire

    async def send_text(self, text: str) -> None:
        """See Line."""
        await self._wire.send_text(text)

    async def recv_texts(self) -> list[str]:
        """See Line."""
        return [await self._wire.recv_text()]

    async def recv_end(self) -> int:
        """See Line."""
        return await self._wire.recv_close()

    async def drop(self) -> None:
        """See Line."""
        await self._wire.close()


class LongPollLine:
    """POSTs and polls; the end is a poll that is answered 410, with another session's token."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    async def send_text(self, text: str) -> None:
        """See Line."""
        answer = await self._poller.post(text, "application/json")
        assert answer.json == {"status": 200}

    async def recv_texts(self) -> list[str]:
        """See Line."""
        answer = await self._poller.poll()
        assert answer["status"] == 200, answer
        assert answer["token"] == self._poller.token
        texts: list[str] = answer["messages"]
        return texts

    async def recv_end(self) -> int:
        """See Line."""
        answer = await self._poller.poll()
        while answer["status"] == 204:
            answer = await self._poller.poll()
        assert answer["token"] != self._poller.token
        assert answer["messages"] == []
        status: int = answer["status"]
        return status

    async def drop(self) -> None:
        """See Line."""


class MatrixClient:
    """A client of any cell. Its join_refs begin at 11 and its refs at 1, as in Phoenix's tests."""

    def __init__(self, cell: Cell, line: Line) -> None:
        self.cell = cell
        self.line = line
        self._heard: list[Any] = []
        self._fences = itertools.count(1)

    @classmethod
    async def connect(cls, base_url: str, cell: Cell, query: str = "") -> MatrixClient:
        """Connect to the socket at `/socket`; the query is `&name=value` or empty."""
        target = f"/socket/{cell.transport}?vsn={cell.vsn}{query}"
        if cell.transport == "websocket":
            return cls(cell, WebSocketLine(await PhoenixWire.open(base_url, target)))
        return cls(cell, LongPollLine(await Poller.open(base_url, target)))

    async def send(self, message: list[Any]) -> None:
        """Send a message, which must be taken."""
        join_ref, ref, topic, event, payload = message
        said: Any = message
        if self.cell.vsn == "1.0.0":
            said = {"topic": topic, "event": event, "payload": payload, "ref": ref}
            if join_ref is not None:
                said["join_ref"] = join_ref
        await self.line.send_text(json.dumps(said))

    async def recv(self) -> list[Any]:
        """The next message."""
        if not self._heard:
            async with asyncio.timeout(patient(_PATIENCE_S)):
                self._heard = [self._decode(text) for text in await self.line.recv_texts()]
        message: list[Any] = self._heard.pop(0)
        return message

    def _decode(self, text: str) -> list[Any]:
        heard: Any = json.loads(text)
        if self.cell.vsn == "1.0.0":
            assert heard.keys() == _V1_KEYS
            return [None, heard["ref"], heard["topic"], heard["event"], heard["payload"]]
        assert len(heard) == 5
        message: list[Any] = heard
        return message

    async def recv_many(self, count: int) -> list[list[Any]]:
        """The next messages."""
        return [await self.recv() for _message in range(count)]

    async def recv_end(self) -> int:
        """The code with which the server ends this connection; nothing may come before."""
        assert self._heard == []
        async with asyncio.timeout(patient(_PATIENCE_S)):
            return await self.line.recv_end()

    def as_heard(self, *messages: list[Any]) -> list[list[Any]]:
        """These messages as this client hears them."""
        if self.cell.vsn == "1.0.0":
            return [[None, *message[1:]] for message in messages]
        return list(messages)

    async def ask(self, message: list[Any]) -> list[Any]:
        """Send a message and receive the next."""
        await self.send(message)
        return await self.recv()

    async def join(self, topic: str = "room:a", join_ref: str = "11", payload: Any = None) -> None:
        """Join a topic; the next message must accept it."""
        answer = await self.ask([join_ref, "1", topic, "phx_join", payload or {}])
        assert answer[1:4] == ["1", topic, "phx_reply"]
        assert answer[4]["status"] == "ok", answer

    async def fence(self) -> None:
        """Show that the server has nothing more to say: a heartbeat is answered next."""
        ref = f"fence-{next(self._fences)}"
        assert await self.ask([None, ref, "phoenix", "heartbeat", {}]) == [
            *(None, ref, "phoenix", "phx_reply"),
            OK,
        ]

    async def drop(self) -> None:
        """Be gone without a word."""
        await self.line.drop()
