"""Protects the control routes: from web pages of other hosts, and with a token if there is one."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from phoenix_compat.control_token import CONTROL_ROUTES_CLOSED, has_control_token
from phoenix_compat.protocol.page_guard import PageGuard, machine_names

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ControlGuard:
    """Who may use the control routes.

    Attributes:
        pages: which host names and which web pages.
        token: what every request needs besides; None needs nothing.
    """

    pages: PageGuard
    token: str | None = field(default=None, repr=False)

    def refuse(self, request: web.Request) -> web.Response | None:
        """The response to a request that is refused; None for one that is not."""
        refused = self.pages.refuse(request.method, request.headers, has_body=request.body_exists)
        if refused is not None:
            return problem(refused.status, "Refused", refused.detail)
        if self.has_token(request.headers):
            return None
        response = problem(401, "Unauthorized", CONTROL_ROUTES_CLOSED)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def has_token(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the token, if one is needed."""
        return self.token is None or has_control_token(headers, self.token)


def control_guard(allowed_hosts: Iterable[str] = (), token: str | None = None) -> ControlGuard:
    """The rules for a server on this machine.

    Args:
        allowed_hosts: further host names that requests may use, as `host_pattern` returns them.
        token: the token that every request needs; None for a server inside the process that
            steers it.
    """
    pages = PageGuard(
        (*machine_names(socket.gethostname()), *allowed_hosts),
        hosts_remedy="start the server with --allowed-host NAME",
        origins_remedy="use a page of this server's own host, or a program that is not a browser",
    )
    return ControlGuard(pages, token)


def guarded(handler: Handler, guard: ControlGuard) -> Handler:
    """Wrap a handler: requests that the guard refuses get a problem document."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return guard.refuse(request) or await handler(request)

    return handle


def problem(status: int, title: str, detail: str, **extra: object) -> web.Response:
    """An error response as an RFC 9457 problem document."""
    document = {"title": title, "status": status, "detail": detail, **extra}
    return web.Response(
        status=status, text=json.dumps(document), content_type="application/problem+json"
    )
