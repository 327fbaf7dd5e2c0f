"""Adds the fault server to an application, and serves its websockets under /faults.

/faults/socket/websocket                     client `default`, session `main`
/faults/{client}/socket/websocket            that client, session `main`
/faults/{client}/{lane}/socket/websocket     that client and session; one for each scenario
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Final

from aiohttp import WSMsgType, web

from phoenix_compat.conformance.control_guard import ControlGuard, control_guard
from phoenix_compat.conformance.faults import control
from phoenix_compat.conformance.faults.channels import Channels
from phoenix_compat.conformance.faults.fault_session import (
    DEFAULT_CLIENT,
    DEFAULT_SESSION,
    RESET,
    Attempt,
    FaultSession,
    FaultSessions,
    TooManyError,
)
from phoenix_compat.conformance.faults.link import Link
from phoenix_compat.conformance.faults.record import EntryKind
from phoenix_compat.errors import RemoteProtocolError
from phoenix_compat.protocol.frame import CLOSE_INTERNAL_ERROR
from phoenix_compat.protocol.handshake import upgrade_error
from phoenix_compat.protocol.serializer import DEFAULT_VSN, Serializer, negotiate

_MAX_MESSAGE_BYTES: Final = 8_000_000
_HALF_OPEN_TIMEOUT_S: Final = 60.0
_POLL_INTERVAL_S: Final = 0.05
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BEARER: Final = "base64url.bearer.phx."
_PATHS: Final = ("", "/{client}", "/{client}/{lane}")


def add_fault_server(app: web.Application, guard: ControlGuard | None = None) -> FaultSessions:
    """Add the routes under /faults and /control; the connections end with the application.

    Args:
        guard: who may use /control; by default every program, and web pages of this machine.
    """
    fault_sessions = FaultSessions()

    async def open_websocket(request: web.Request) -> web.StreamResponse:
        return await _open(request, fault_sessions)

    async def end_connections(_app: web.Application) -> None:
        for session in fault_sessions.all_sessions():
            for channels in tuple(session.connections):
                channels.link.reset()

    for path in _PATHS:
        app.router.add_get(f"/faults{path}/socket/websocket{{slash:/?}}", open_websocket)
    control.add_routes(app, fault_sessions, guard or control_guard())
    app.on_shutdown.append(end_connections)
    return fault_sessions


async def _open(request: web.Request, fault_sessions: FaultSessions) -> web.StreamResponse:
    try:
        session = _find_session(request, fault_sessions)
    except TooManyError as error:
        return web.Response(status=503, text=str(error))
    if session is None:
        text = "client and session names must be 1 to 64 letters, digits, '.', '_' or '-'"
        return web.Response(status=400, text=text)
    attempt = session.attempt(_token_of(request))
    number, status = attempt.number, attempt.refusal
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
            session.record.note(
                EntryKind.REFUSED, number, code=refused, note=problem or "unknown vsn"
            )
        return web.Response(status=refused, text=problem)
    return await _serve(request, session, attempt, serializer)


def _find_session(request: web.Request, fault_sessions: FaultSessions) -> FaultSession | None:
    client = request.match_info.get("client", DEFAULT_CLIENT)
    name = request.match_info.get("lane", DEFAULT_SESSION)
    if not _NAME.fullmatch(client) or not _NAME.fullmatch(name):
        return None
    return fault_sessions.session(client, name)


def _token_of(request: web.Request) -> str:
    """The token of a handshake: the param `token`, a bearer subprotocol, or `Authorization`."""
    if token := request.query.get("token", ""):
        return token
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    bearer = next((one for one in offered.split(",") if _BEARER in one), "")
    return bearer or request.headers.get("Authorization", "")


async def _serve(
    request: web.Request, session: FaultSession, attempt: Attempt, serializer: Serializer
) -> web.StreamResponse:
    """Upgrade, and serve the connection until it ends."""
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
    number = attempt.number
    session.record.note(EntryKind.OPENED, number, note=serializer.name)
    channels = Channels(session, Link(session.record, number, serializer, transport))
    channels.link.token = attempt.token
    session.connections.append(channels)
    try:
        if (code := session.code_at_once()) is not None:
            channels.link.close(code)
        await _listen(websocket, session, channels)
    finally:
        session.connections.remove(channels)
        channels.link.stop()
        note = "reset by the server" if channels.link.was_reset else ""
        session.record.note(EntryKind.ENDED, number, note=note)
        transport.close()
    return websocket


async def _listen(
    websocket: web.WebSocketResponse, session: FaultSession, channels: Channels
) -> None:
    link = channels.link
    while True:
        message = await websocket.receive()
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                _receive(message.data, session, channels)
            case WSMsgType.PING:
                session.record.note(EntryKind.PING, link.number)
                if not link.is_unresponsive:
                    link.pong(bytes(message.data))
            case WSMsgType.PONG:
                session.record.note(
                    EntryKind.PONG, link.number, note=bytes(message.data).decode("latin-1")
                )
            case WSMsgType.CLOSE:
                session.record.note(EntryKind.CLIENT_CLOSED, link.number, code=message.data or 0)
                if link.is_unresponsive:
                    await _wait_until_closed(link)
                link.answer_close(message.data or 0)
                return
            case _:
                return


async def _wait_until_closed(link: Link) -> None:
    """Wait for the client to close TCP: a dead network does not answer its close frame."""
    deadline_s = time.monotonic() + _HALF_OPEN_TIMEOUT_S
    while not link.is_closed and time.monotonic() < deadline_s:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(_POLL_INTERVAL_S)


def _receive(data: str | bytes, session: FaultSession, channels: Channels) -> None:
    link = channels.link
    is_binary = not isinstance(data, str)
    raw: Any = data if is_binary else str(data).encode()
    try:
        message = link.serializer.decode(raw, is_binary=is_binary)
    except RemoteProtocolError as error:
        session.record.note(EntryKind.UNREADABLE, link.number, note=f"{error}: {str(data)[:200]}")
        link.close(CLOSE_INTERNAL_ERROR)
        return
    session.record.note(
        EntryKind.RECEIVED,
        link.number,
        topic=str(message.topic),
        event=str(message.event),
        join_ref=message.join_ref,
        ref=message.ref,
        payload=message.payload,
    )
    channels.receive(message)
