"""Plays the steps of one case over its connections, and returns what was received.

It compares nothing. `format_frames` describes the format of what was received.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from string import Template
from typing import Literal, TypeAlias
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
    SendFrame,
    SendText,
    Wait,
)
from phoenix_compat.conformance.suite.connections import (
    ANSWER_TIMEOUT_S,
    Connection,
    LongPollConnection,
    UnplayableError,
    WebSocketConnection,
    describe,
    exchange,
    read_json,
    response_timeout_s,
)
from phoenix_compat.conformance.suite.format_frames import Received, show_response
from phoenix_compat.conformance.suite.pace import Pace, TimeLimits
from phoenix_compat.conformance.suite.reasons import is_incomplete, messages_of, misses_messages
from phoenix_compat.conformance.suite.wire_client import (
    MASK,
    Headers,
    HttpResponse,
    WireClient,
    encode_frame,
)

_MAX_FRAMES_PER_STEP = 2_000
"""The limit of frames that one step can receive; no step of the vectors needs as many."""

RECORDED_QUIET_S = 0.25
"""The quiet time of the recording."""

_EXPECTED_QUIETS = 8
"""The limit in which frames that are wanted must begin to come, in quiet times."""

_MAX_FURTHER_POLLS = 10
"""The limit of polls among which a server may split the messages of one."""

_LOOP_ITERATIONS = 20
"""Iterations of the event loop in which frames that have already arrived are received."""

Message: TypeAlias = SendText | SendBinary | SendFrame | SendBurst | Ping | Close
"""What a client sends over its connection."""


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

    A server's own timeouts do not grow with the pace. A case that waits for them is therefore
    played on time: what its steps took too long is taken from its waits.

    Args:
        quiet_s: a step is over when nothing is missing and nothing has come for this long.
        speedup: the factor by which waits are shortened, for a server with shorter timeouts.
        pace: the factor by which quiet time and time limits are lengthened.
        is_timed: whether the server's own clock counts; the quiet time is that of the recording.

    Attributes:
        log: every action and everything received, in order.
    """

    def __init__(
        self,
        base_url: str,
        quiet_s: float,
        speedup: float = 1.0,
        *,
        pace: TimeLimits | None = None,
        is_timed: bool = False,
    ) -> None:
        self.log: list[LogLine] = []
        self._base_url = base_url
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._quiet_s = RECORDED_QUIET_S / speedup if is_timed else quiet_s
        self._speedup = speedup
        self._pace = pace or Pace()
        self._is_timed = is_timed
        self._behind_s = 0.0
        self._began_at_s = time.monotonic()
        self._connections: dict[str, Connection] = {}
        self._frames: dict[str, list[Received]] = {}
        self._frame_received = asyncio.Event()
        self._values: dict[str, str] = {}

    async def play(
        self,
        action: Action,
        wanted: Mapping[str, Sequence[JSON]] | None = None,
        *,
        wanted_answer: JSON = None,
        is_last: bool = True,
    ) -> dict[str, JSON]:
        """Play one step, wait until nothing more comes, and return what was received.

        It does not wait if no connection is open, nor after an opening: a frame that the server
        then sends by itself belongs to the next step.

        Args:
            wanted: frames of each connection that are waited for longer than the quiet time; not
                after a wait, where coming late is what a wrong server does.
            wanted_answer: the answer to an HTTP request; a poll that brings only the first of its
                messages is followed by others.
        """
        self._log(getattr(action, "conn", ""), "out", str(action))
        due_s = time.monotonic() - self._behind_s
        got = await self._act(action, wanted_answer)
        if isinstance(action, Wait):
            due_s += action.wait_s / self._speedup
            wanted = None
        if self._connections and (is_last or not isinstance(action, Open)):
            await self._wait_for_frames(wanted or {})
            due_s += self._quiet_s
        self._behind_s = max(time.monotonic() - due_s, 0.0)
        frames = {conn: list(heard) for conn, heard in self._frames.items() if heard}
        for heard in self._frames.values():
            heard.clear()
        return {**got, "frames": frames} if frames else got

    async def end(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(conn.disconnect() for conn in self._connections.values()))

    async def _act(self, action: Action, wanted_answer: JSON = None) -> dict[str, JSON]:
        match action:
            case Open(transport="websocket"):
                return {"open": await self._open_websocket(action)}
            case Open():
                return {"open": await self._open_longpoll(action)}
            case Http():
                return {"http": await self._request(action, wanted_answer)}
            case Wait(wait_s):
                await asyncio.sleep(max(wait_s / self._speedup - self._behind_s, 0.0))
            case _:
                async with asyncio.timeout(response_timeout_s(self._pace)):
                    await self._send(action)
        return {}

    async def _send(self, action: Message) -> None:
        match action:
            case SendText(conn, text):
                await self._connection(conn).send_text(text)
            case SendBinary(conn, data):
                await self._connection(conn).send_binary(data)
            case SendFrame():
                await self._connection(action.conn).send_raw(bytes_of(action))
            case SendBurst(conn, texts):
                for text in texts:
                    await self._connection(conn).send_text(text)
            case Ping(conn, text):
                await self._connection(conn).ping(text)
            case Close(conn, code):
                await self._connection(conn).close(code)

    async def _open_websocket(self, action: Open) -> JSON:
        headers = list(action.headers.items())
        if action.protocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(action.protocols)))
        timeout_s = self._pace.stretch(ANSWER_TIMEOUT_S)
        async with asyncio.timeout(timeout_s):
            client = await WireClient.connect(self._base_url)
        async with AsyncExitStack() as unless_open:
            unless_open.push_async_callback(client.close)
            response = await client.handshake(
                self._prefix + action.target, extra=headers, timeout_s=timeout_s
            )
            if response.status != 101:
                return {"status": response.status}
            unless_open.pop_all()
        self._connections[action.conn] = WebSocketConnection(
            client, self._receiver_for(action.conn), self._pace
        )
        return {"status": 101, "protocol": response.header("sec-websocket-protocol")}

    async def _open_longpoll(self, action: Open) -> JSON:
        """Open a session; its response is shown as that of a websocket handshake."""
        headers = list(action.headers.items())
        response = await self._exchange("GET", action.target, headers)
        match read_json(response):
            case {"token": str(token), "messages": []}:
                self._connections[action.conn] = LongPollConnection(
                    self._base_url,
                    action.target,
                    token,
                    self._receiver_for(action.conn),
                    self._pace,
                )
                return {"status": 101, "protocol": None}
            case {"status": 403}:
                return {"status": 403}
            case _:
                return {"status": describe(response)}

    async def _request(self, action: Http, wanted: JSON) -> JSON:
        """Make a request; a poll is answered as soon as there is a message, so ask for the rest."""
        shown = await self._exchange_shown(action)
        if action.method != "GET" or not misses_messages(wanted, shown) or not messages_of(shown):
            return shown
        with suppress(TimeoutError):  # what is missing will be told
            async with asyncio.timeout(self._pace.stretch(_EXPECTED_QUIETS * self._quiet_s)):
                for _poll in range(_MAX_FURTHER_POLLS):
                    further = await self._exchange_shown(action)
                    if not (more := messages_of(further)):
                        break
                    messages = [*(messages_of(shown) or ()), *more]
                    shown = {**further, "body": {**further["body"], "messages": messages}}
                    if not misses_messages(wanted, shown):
                        break
        return shown

    async def _exchange_shown(self, action: Http) -> dict[str, JSON]:
        response = await self._exchange(
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

    async def _exchange(
        self, method: str, target: str, headers: Headers, body: bytes = b""
    ) -> HttpResponse:
        timeout_s = response_timeout_s(self._pace)
        return await exchange(self._base_url, method, target, headers, body, timeout_s=timeout_s)

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

    async def _wait_for_frames(self, wanted: Mapping[str, Sequence[JSON]]) -> None:
        """Wait until it is quiet, and longer while wanted frames are missing and none is wrong."""
        began_s = time.monotonic()
        while sum(map(len, self._frames.values())) < _MAX_FRAMES_PER_STEP:
            if await self._hears_more():
                continue
            await self._probe()  # it may bring the end of a long-poll session
            limit_s = self._pace.stretch(_EXPECTED_QUIETS * self._quiet_s)
            is_late = time.monotonic() - began_s >= limit_s
            if is_late or not is_incomplete(wanted, self._frames):
                return
        raise UnplayableError(f"more than {_MAX_FRAMES_PER_STEP} frames came")

    async def _hears_more(self) -> bool:
        """Whether a frame comes in the quiet time, which grows while the machine is busy."""
        self._frame_received.clear()
        began_s = time.monotonic()
        while (left_s := began_s + self._quiet_limit_s() - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._frame_received.wait()
            except TimeoutError:
                continue
            return True
        # Frames that have already arrived were in time, even if this loop is late.
        return await self._has_more()

    def _quiet_limit_s(self) -> float:
        return self._quiet_s if self._is_timed else self._pace.stretch(self._quiet_s)

    async def _has_more(self) -> bool:
        for _iteration in range(_LOOP_ITERATIONS):
            await asyncio.sleep(0)
            if self._frame_received.is_set():
                return True
        return False

    async def _probe(self) -> None:
        """Make sure that the server is silent, not gone, and that no message waits for a poll."""
        await asyncio.gather(*(connection.probe() for connection in self._connections.values()))


def bytes_of(frame: SendFrame) -> bytes:
    """The bytes of one frame."""
    mask = MASK if frame.is_masked else None
    return encode_frame(frame.data, frame.opcode, is_final=frame.is_final, rsv=frame.rsv, mask=mask)
