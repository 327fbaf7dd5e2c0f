"""The fault server's websockets under /faults, and how it is added to an application.

/faults/socket/websocket                     client `default`, lane `main`
/faults/{client}/socket/websocket            that client, lane `main`
/faults/{client}/{lane}/socket/websocket     a lane of its own, for scenarios side by side
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Final

from aiohttp import WSMsgType, web

from phoenix_compat.conformance.control_guard import control_guard
from phoenix_compat.conformance.faults import control
from phoenix_compat.conformance.faults.channels import Channels
from phoenix_compat.conformance.faults.fault_session import (
    DEFAULT_CLIENT,
    DEFAULT_LANE,
    RESET,
    FaultSession,
    FaultSessions,
    TooManyError,
)
from phoenix_compat.conformance.faults.link import Link
from phoenix_compat.conformance.faults.record import Kind
from phoenix_compat.errors import RemoteProtocolError
from phoenix_compat.protocol.browser import PageGuard
from phoenix_compat.protocol.frame import CLOSE_INTERNAL_ERROR
from phoenix_compat.protocol.handshake import upgrade_error
from phoenix_compat.protocol.serializer import DEFAULT_VSN, Serializer, negotiate

_MAX_MESSAGE_BYTES: Final = 8_000_000
_DEAF_TIMEOUT_S: Final = 60.0
_LOOK_S: Final = 0.05
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATHS: Final = ("", "/{client}", "/{client}/{lane}")


def add_fault_server(app: web.Application, guard: PageGuard | None = None) -> FaultSessions:
    """Add the routes under /faults and /control; the connections end with the application.

    Args:
        guard: which pages may use /control; None: those of this machine.
    """
    fault_sessions = FaultSessions()

    async def open_websocket(request: web.Request) -> web.StreamResponse:
        return await _open(request, fault_sessions)

    async def end_connections(_app: web.Application) -> None:
        for lane in fault_sessions.all_lanes():
            for visitor in tuple(lane.visitors):
                visitor.link.reset()

    for path in _PATHS:
        app.router.add_get(f"/faults{path}/socket/websocket{{slash:/?}}", open_websocket)
    control.add_routes(app, fault_sessions, guard or control_guard())
    app.on_shutdown.append(end_connections)
    return fault_sessions


async def _open(request: web.Request, fault_sessions: FaultSessions) -> web.StreamResponse:
    try:
        lane = _lane_of(request, fault_sessions)
    except TooManyError as error:
        return web.Response(status=503, text=str(error))
    if lane is None:
        text = "the names of client and lane are 1 to 64 letters, digits, '.', '_' or '-'"
        return web.Response(status=400, text=text)
    number, status = lane.attempt()
    transport = request.transport
    if status == RESET or transport is None:
        if transport is not None:
            transport.abort()
        return web.Response(status=503)
    serializer = negotiate(request.query.get("vsn", DEFAULT_VSN))
    problem = upgrade_error(request.headers, request.version)
    if status is not None or serializer is None or problem is not None:
        refused = status or (403 if serializer is None else 400)
        if status is None:
            lane.record.note(Kind.REFUSED, number, code=refused, note=problem or "unknown vsn")
        return web.Response(status=refused, text=problem)
    return await _serve(request, lane, number, serializer)


def _lane_of(request: web.Request, fault_sessions: FaultSessions) -> FaultSession | None:
    client = request.match_info.get("client", DEFAULT_CLIENT)
    name = request.match_info.get("lane", DEFAULT_LANE)
    if not _NAME.fullmatch(client) or not _NAME.fullmatch(name):
        return None
    return fault_sessions.lane(client, name)


async def _serve(
    request: web.Request, lane: FaultSession, number: int, serializer: Serializer
) -> web.StreamResponse:
    """Upgrade, and stay with the client until its connection is over."""
    websocket = web.WebSocketResponse(
        autoclose=False,
        autoping=False,
        compress=False,
        max_msg_size=_MAX_MESSAGE_BYTES,
        protocols=("phoenix",) if "Sec-WebSocket-Protocol" in request.headers else (),
    )
    await websocket.prepare(request)
    transport = request.transport
    if transport is None:
        return websocket
    lane.record.note(Kind.OPENED, number, note=serializer.name)
    visitor = Channels(lane, Link(lane.record, number, serializer, transport))
    lane.visitors.append(visitor)
    try:
        if (code := lane.code_at_once()) is not None:
            visitor.link.close(code)
        await _listen(websocket, lane, visitor)
    finally:
        lane.visitors.remove(visitor)
        visitor.link.ended()
        note = "reset by the server" if visitor.link.was_reset else ""
        lane.record.note(Kind.ENDED, number, note=note)
        transport.close()
    return websocket


async def _listen(websocket: web.WebSocketResponse, lane: FaultSession, visitor: Channels) -> None:
    link = visitor.link
    while True:
        message = await websocket.receive()
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                _receive(message.data, lane, visitor)
            case WSMsgType.PING:
                lane.record.note(Kind.PING, link.number)
                if not link.is_deaf:
                    link.pong(bytes(message.data))
            case WSMsgType.PONG:
                lane.record.note(Kind.PONG, link.number, note=bytes(message.data).decode("latin-1"))
            case WSMsgType.CLOSE:
                lane.record.note(Kind.CLIENT_CLOSED, link.number, code=message.data or 0)
                if link.is_deaf:
                    await _until_gone(link)
                link.answer_close(message.data or 0)
                return
            case _:
                return


async def _until_gone(link: Link) -> None:
    """A dead network answers no close frame: wait for the client to give the connection up."""
    deadline_s = time.monotonic() + _DEAF_TIMEOUT_S
    while not link.is_gone and time.monotonic() < deadline_s:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_LOOK_S)


def _receive(data: str | bytes, lane: FaultSession, visitor: Channels) -> None:
    link = visitor.link
    is_binary = not isinstance(data, str)
    raw: Any = data if is_binary else str(data).encode()
    try:
        message = link.serializer.decode(raw, is_binary=is_binary)
    except RemoteProtocolError as error:
        lane.record.note(Kind.UNREADABLE, link.number, note=f"{error}: {str(data)[:200]}")
        link.close(CLOSE_INTERNAL_ERROR)
        return
    lane.record.note(
        Kind.RECEIVED,
        link.number,
        topic=str(message.topic),
        event=str(message.event),
        join_ref=message.join_ref,
        ref=message.ref,
        payload=message.payload,
    )
    visitor.receive(message)
