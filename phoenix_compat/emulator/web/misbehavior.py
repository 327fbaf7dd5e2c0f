"""Performs the faults of an HTTP exchange on the connection itself."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import assert_never

from aiohttp import web

from phoenix_compat.emulator.faults.fault import Answer, Garble, Hang, HttpAction, Reset, Spoil
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.request_context import state_of

Truth = Callable[[], Awaitable[web.Response]]

_INVALID_JSON = b'{"id": "20z778rke5rm80crb5982z0m1g", "status": starting,, }'
_DRIPS = 60
# Two shorts on Windows, two ints elsewhere: on, and for no time at all.
_LINGER_0 = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


async def misbehave(request: web.Request, action: HttpAction, truth: Truth) -> web.StreamResponse:
    """Answer as the fault wants.

    Args:
        truth: carries the request out and makes the honest answer; called only by faults that
            come after the deed.
    """
    if isinstance(action, Spoil):
        return await _spoil(request, action, await truth())
    if action.is_after:
        await truth()
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
    """Do nothing until the client leaves, the emulator closes, or the bound has passed."""
    state = state_of(request)
    until_s = state.clock.now_s() + state.settings.hang_s
    while not state.timer.is_closed and not is_gone(request) and state.clock.now_s() < until_s:
        # The transport says only when asked that the client left, so it is asked now and then.
        await _pause(state, until_s)


def is_gone(request: web.Request) -> bool:
    """True when the client has closed the connection."""
    return request.transport is None or request.transport.is_closing()


def reset(request: web.Request) -> web.Response:
    """Break the connection with a TCP reset. The response returned is never seen."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            # Linger 0: the kernel sends RST in place of an orderly FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        transport.abort()
    return web.Response()


async def cut_in_half(request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
    """Promise the whole body, send half, close."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _pause(state: EmulatorState, until_s: float) -> None:
    try:
        async with asyncio.timeout(0.25):
            await state.timer.wait_for_change(until_s)
    except TimeoutError:
        return


def _answer(action: Answer) -> web.Response:
    response = web.Response(status=action.status, body=action.body.encode())
    response.headers["Content-Type"] = action.content_type
    response.headers.update(action.headers)
    return response


async def _spoil(request: web.Request, action: Spoil, honest: web.Response) -> web.StreamResponse:
    body = honest.body if isinstance(honest.body, bytes) else b""
    match action.garble:
        case Garble.TRUNCATED:
            honest.body = body[: len(body) // 2]
            return honest
        case Garble.INVALID:
            honest.body = _INVALID_JSON
            return honest
        case Garble.CUT:
            return await cut_in_half(request, body, "application/json")
        case Garble.DELAY:
            await state_of(request).timer.sleep(action.seconds)
            return honest
        case Garble.DRIP:
            return await _drip(request, honest, body, action.seconds)


async def _drip(
    request: web.Request, honest: web.Response, body: bytes, seconds: float
) -> web.StreamResponse:
    response = web.StreamResponse(status=honest.status, headers=honest.headers)
    response.content_length = len(body)
    await response.prepare(request)
    size = max(len(body) // _DRIPS, 1)
    for start in range(0, len(body), size):
        if is_gone(request):
            break
        await response.write(body[start : start + size])
        await state_of(request).timer.sleep(seconds * size / len(body))
    return response
