"""Plays the steps of one case over its connections, and returns what was received.

It compares nothing. `format_frames` describes the format of what was received.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from string import Template
from typing import Literal
from urllib.parse import urlsplit

from phoenix_compat.conformance.suite.cases import (
    JSON,
    Action,
    Close,
    Http,
    Open,
    Ping,
    SendBinary,
    SendBurst,
    SendText,
    Wait,
)
from phoenix_compat.conformance.suite.connections import (
    Connection,
    LongPollConnection,
    UnplayableError,
    WebSocketConnection,
    describe,
    exchange,
    read_json,
)
from phoenix_compat.conformance.suite.format_frames import Received, show_response
from phoenix_compat.conformance.suite.wire_client import WireClient

_MAX_FRAMES_PER_STEP = 2_000
"""The limit of frames that one step can receive; no step of the vectors needs as many."""

_LOOP_ITERATIONS = 20
"""Iterations of the event loop in which frames that have already arrived are received."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One action or one received frame.

    Attributes:
        at_s: seconds since the case began.
        conn: the connection; "" for plain HTTP requests.
        way: `out` from the client, `in` from the server.
        shown: the action as text, or what was received, in the format of the vectors.
    """

    at_s: float
    conn: str
    way: Literal["out", "in"]
    shown: JSON


class Conversation:
    """The connections and captured values of one case while it is played.

    Args:
        quiet_s: a step is over when nothing has been received for this long.
        speedup: the factor by which waits are shortened, for a server with shorter timeouts.

    Attributes:
        log: every action and everything received, in order.
    """

    def __init__(self, base_url: str, quiet_s: float, speedup: float = 1.0) -> None:
        self.log: list[LogLine] = []
        self._base_url = base_url
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._quiet_s = quiet_s
        self._speedup = speedup
        self._began_at_s = time.monotonic()
        self._connections: dict[str, Connection] = {}
        self._frames: dict[str, list[Received]] = {}
        self._frame_received = asyncio.Event()
        self._values: dict[str, str] = {}

    async def play(self, action: Action, *, is_last: bool = True) -> dict[str, JSON]:
        """Play one step, wait until nothing more comes, and return what was received.

        It does not wait if no connection is open, nor after an opening: a frame that the server
        then sends by itself belongs to the next step.
        """
        self._log(getattr(action, "conn", ""), "out", str(action))
        got = await self._act(action)
        if self._connections and (is_last or not isinstance(action, Open)):
            await self._wait_for_quiet()
            await self._probe()
        frames = {conn: list(heard) for conn, heard in self._frames.items() if heard}
        for heard in self._frames.values():
            heard.clear()
        return {**got, "frames": frames} if frames else got

    async def end(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(conn.disconnect() for conn in self._connections.values()))

    async def _act(self, action: Action) -> dict[str, JSON]:
        match action:
            case Open(transport="websocket"):
                return {"open": await self._open_websocket(action)}
            case Open():
                return {"open": await self._open_longpoll(action)}
            case Http():
                return {"http": await self._request(action)}
            case SendText(conn, text):
                await self._connection(conn).send_text(text)
            case SendBinary(conn, data):
                await self._connection(conn).send_binary(data)
            case SendBurst(conn, texts):
                for text in texts:
                    await self._connection(conn).send_text(text)
            case Ping(conn, text):
                await self._connection(conn).ping(text)
            case Close(conn, code):
                await self._connection(conn).close(code)
            case Wait(wait_s):
                await asyncio.sleep(wait_s / self._speedup)
        return {}

    async def _open_websocket(self, action: Open) -> JSON:
        client = await WireClient.connect(self._base_url)
        headers = list(action.headers.items())
        if action.protocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(action.protocols)))
        response = await client.handshake(self._prefix + action.target, extra=headers)
        if response.status != 101:
            await client.close()
            return {"status": response.status}
        self._connections[action.conn] = WebSocketConnection(
            client, self._receiver_for(action.conn)
        )
        return {"status": 101, "protocol": response.header("sec-websocket-protocol")}

    async def _open_longpoll(self, action: Open) -> JSON:
        """Open a session; its response is shown as that of a websocket handshake."""
        headers = list(action.headers.items())
        response = await exchange(self._base_url, "GET", action.target, headers)
        match read_json(response):
            case {"token": str(token), "messages": []}:
                self._connections[action.conn] = LongPollConnection(
                    self._base_url, action.target, token, self._receiver_for(action.conn)
                )
                return {"status": 101, "protocol": None}
            case {"status": 403}:
                return {"status": 403}
            case _:
                return {"status": describe(response)}

    async def _request(self, action: Http) -> JSON:
        response = await exchange(
            self._base_url,
            action.method,
            self._fill(action.target),
            [(name, self._fill(value)) for name, value in action.headers.items()],
            self._fill(action.body).encode(),
        )
        shown = show_response(response, action.want_headers)
        self._log("", "in", shown)
        if isinstance(shown["body"], dict):
            captured = shown["body"].keys() & action.capture
            self._values |= {name: str(shown["body"][name]) for name in captured}
        return shown

    def _fill(self, text: str) -> str:
        try:
            return Template(text).substitute(self._values)
        except KeyError as missing:
            raise UnplayableError(f"nothing was captured as {missing}") from None

    def _connection(self, name: str) -> Connection:
        if name not in self._connections:
            raise UnplayableError(f"connection {name!r} is not open")
        return self._connections[name]

    # Receiving.

    def _receiver_for(self, conn: str) -> partial[None]:
        self._frames.setdefault(conn, [])
        return partial(self._receive, conn)

    def _receive(self, conn: str, shown: Received) -> None:
        self._frames[conn].append(shown)
        self._log(conn, "in", shown)
        self._frame_received.set()

    def _log(self, conn: str, way: Literal["out", "in"], shown: JSON) -> None:
        self.log.append(LogLine(time.monotonic() - self._began_at_s, conn, way, shown))

    async def _wait_for_quiet(self) -> None:
        while sum(map(len, self._frames.values())) < _MAX_FRAMES_PER_STEP:
            self._frame_received.clear()
            try:
                async with asyncio.timeout(self._quiet_s):
                    await self._frame_received.wait()
            except TimeoutError:
                # Frames that have already arrived were in time, even if this loop is late.
                if not await self._has_more():
                    return
        raise UnplayableError(f"more than {_MAX_FRAMES_PER_STEP} frames came")

    async def _has_more(self) -> bool:
        for _iteration in range(_LOOP_ITERATIONS):
            await asyncio.sleep(0)
            if self._frame_received.is_set():
                return True
        return False

    async def _probe(self) -> None:
        """Make sure that the server is silent, not gone, and that no message waits for a poll."""
        await asyncio.gather(*(connection.probe() for connection in self._connections.values()))
