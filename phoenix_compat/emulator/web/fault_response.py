"""Carries out the faults of an HTTP exchange: false, damaged, late or missing responses."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import assert_never

from aiohttp import web

from phoenix_compat.emulator.faults.fault import (
    Answer,
    AnswerFault,
    FaultyAnswer,
    Hang,
    HttpAction,
    Reset,
)
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.request_context import state_of

Respond = Callable[[], Awaitable[web.Response]]

_INVALID_JSON = b'{"id": "20z778rke5rm80crb5982z0m1g", "status": starting,, }'
_DRIP_CHUNKS = 60
_DISCONNECT_POLL_S = 0.25
# struct linger with l_onoff=1 and l_linger=0: two shorts on Windows, two ints elsewhere.
_LINGER_0 = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


async def respond_with_fault(
    request: web.Request, action: HttpAction, respond: Respond
) -> web.StreamResponse:
    """Answer as the fault requires.

    Args:
        respond: carries the request out and returns the normal response. Faults that apply
            before the request is carried out do not call it.
    """
    if isinstance(action, FaultyAnswer):
        return await _faulty_answer(request, action, await respond())
    if action.is_after:
        await respond()
    match action:
        case Answer():
            return _answer(action)
        case Hang():
            await hang(request)
            return reset(request)
        case Reset():
            return reset(request)
        case _:
            assert_never(action)


async def hang(request: web.Request) -> None:
    """Do nothing until the client disconnects, the emulator closes, or `hang_s` has passed."""
    state = state_of(request)
    until_s = state.clock.now_s() + state.settings.hang_s
    while (
        not state.timer.is_closed and not is_disconnected(request) and state.clock.now_s() < until_s
    ):
        # The transport does not notify of a disconnect, so it is polled.
        await _pause(state, until_s)


def is_disconnected(request: web.Request) -> bool:
    """True when the client has closed the connection."""
    return request.transport is None or request.transport.is_closing()


def reset(request: web.Request) -> web.Response:
    """Close the connection with a TCP reset. The returned response is never sent."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            # With a linger time of 0 the kernel sends RST instead of FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        transport.abort()
    return web.Response()


async def cut_in_half(request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
    """Declare the whole body, send half of it, and close the connection."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _pause(state: EmulatorState, until_s: float) -> None:
    try:
        async with asyncio.timeout(_DISCONNECT_POLL_S):
            await state.timer.wait_for_change(until_s)
    except TimeoutError:
        return


def _answer(action: Answer) -> web.Response:
    response = web.Response(status=action.status, body=action.body.encode())
    response.headers["Content-Type"] = action.content_type
    response.headers.update(action.headers)
    return response


async def _faulty_answer(
    request: web.Request, action: FaultyAnswer, normal: web.Response
) -> web.StreamResponse:
    body = normal.body if isinstance(normal.body, bytes) else b""
    match action.fault:
        case AnswerFault.TRUNCATED:
            normal.body = body[: len(body) // 2]
            return normal
        case AnswerFault.INVALID:
            normal.body = _INVALID_JSON
            return normal
        case AnswerFault.CUT:
            return await cut_in_half(request, body, "application/json")
        case AnswerFault.DELAY:
            await state_of(request).timer.sleep(action.duration_s)
            return normal
        case AnswerFault.DRIP:
            return await _drip(request, normal, body, action.duration_s)


async def _drip(
    request: web.Request, normal: web.Response, body: bytes, seconds: float
) -> web.StreamResponse:
    response = web.StreamResponse(status=normal.status, headers=normal.headers)
    response.content_length = len(body)
    await response.prepare(request)
    size = max(len(body) // _DRIP_CHUNKS, 1)
    for start in range(0, len(body), size):
        if is_disconnected(request):
            break
        await response.write(body[start : start + size])
        await state_of(request).timer.sleep(seconds * size / len(body))
    return response
