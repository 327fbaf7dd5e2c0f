"""Protects the task server from web pages: a check in front of all routes.

    every path but /healthz and /readyz    421 unless this server answers to the Host
    /api, methods that change something    403 unless `check_origin` allows the page

(`api` checks that bodies are JSON; sockets check the origin as Phoenix does; webhooks are signed
and do not come from browsers.)

Requests over a Unix socket may name any host, because no browser can connect there. They come from
a proxy, which decides which hosts it serves, from another process of this server, or from a program
on this machine.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from phoenix_compat.protocol.origin import SAME_HOST, CheckOrigin
from phoenix_compat.protocol.page_guard import PageGuard, Refusal, machine_names
from phoenix_compat.server.http.browsers.refused_pages import RefusedPages
from phoenix_compat.server.http.checks import Check
from phoenix_compat.server.http.problem import API_PREFIX, ProblemError
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.transports.aiohttp.peers import is_from_peer

ANY_HOST_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""They reveal only the server's state; load balancers request them under other host names."""

_HOSTS_REMEDY: Final = (
    "name it in the setting `allowed_hosts`, or in `public_url` if clients reach this server by it"
)
_ORIGINS_REMEDY: Final = 'name the origin in the setting `check_origin`, as in ["//example.com"]'


def page_guard(settings: Settings) -> PageGuard:
    """The hosts that this server answers to, and the origins whose pages may change something."""
    return PageGuard(
        _hosts(settings),
        check_origin_of(settings),
        hosts_remedy=_HOSTS_REMEDY,
        origins_remedy=_ORIGINS_REMEDY,
    )


def guarding(guard: PageGuard) -> Check:
    """Build the check; it must be the first one."""
    refused = RefusedPages()

    def check(request: web.Request) -> web.StreamResponse | None:
        refusal = _refusal(guard, request)
        if refusal is None:
            return None
        # Not for a refused host (421): its name alone says nothing about a page.
        origin = request.headers.get(hdrs.ORIGIN) if refusal.status == 403 else None
        refused.log(origin, refusal.status, refusal.detail)
        return ProblemError(*refusal).response()

    return check


def check_origin_of(settings: Settings) -> CheckOrigin:
    """The origins whose pages may open sockets and change tasks: this server's and the configured.

    As with Phoenix's `true`, only the host counts, not scheme and port: some apps send
    `Origin: ws://host:port`.
    """
    host = _public_host(settings)
    return (SAME_HOST, *(() if host is None else (f"//{host}",)), *settings.check_origin)


def _hosts(settings: Settings) -> tuple[str, ...]:
    named = (settings.host.lower(), _public_host(settings), *settings.allowed_hosts)
    return (*machine_names(socket.gethostname()), *(name for name in named if name is not None))


def _public_host(settings: Settings) -> str | None:
    """The host in the browsers' form: lower-case ASCII (xn--…), IPv6 addresses in brackets."""
    host = None if settings.public_url is None else urlsplit(settings.public_url).hostname
    if host is None:
        return None
    if ":" in host:
        return f"[{host}]"
    with contextlib.suppress(UnicodeError):  # not a DNS name: leave it as it is
        host = host.encode("idna").decode("ascii")
    return host


def _refusal(guard: PageGuard, request: web.Request) -> Refusal | None:
    refused = guard.refuse_host(request.headers.get(hdrs.HOST))
    if refused is not None and request.path not in ANY_HOST_PATHS and not is_from_peer(request):
        return refused
    if not request.path.startswith(API_PREFIX):
        return None
    return guard.refuse_origin(request.method, request.headers)
