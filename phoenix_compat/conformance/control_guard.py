"""Protects the control routes from web pages of other hosts."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from aiohttp import web

from phoenix_compat.protocol.page_guard import PageGuard, machine_names

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def control_guard(allowed_hosts: Iterable[str] = ()) -> PageGuard:
    """The rules for a server on this machine.

    Args:
        allowed_hosts: further host names that requests may use, as `host_pattern` returns them.
    """
    return PageGuard(
        (*machine_names(socket.gethostname()), *allowed_hosts),
        hosts_remedy="start the server with --allowed-host NAME",
        origins_remedy="use a page of this server's own host, or a program that is not a browser",
    )


def guarded(handler: Handler, guard: PageGuard) -> Handler:
    """Wrap a handler: requests that the guard refuses get a problem document."""

    async def handle(request: web.Request) -> web.StreamResponse:
        refused = guard.refuse(request.method, request.headers, has_body=request.body_exists)
        if refused is not None:
            return problem(refused.status, "Refused", refused.detail)
        return await handler(request)

    return handle


def problem(status: int, title: str, detail: str, **extra: object) -> web.Response:
    """An error response as an RFC 9457 problem document."""
    document = {"title": title, "status": status, "detail": detail, **extra}
    return web.Response(
        status=status, text=json.dumps(document), content_type="application/problem+json"
    )
