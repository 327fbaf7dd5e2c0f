"""Who may call the task server from a browser: a middleware in front of all routes.

    every path but /healthz and /readyz    the Host must be one that this server answers to: 421
    /api, methods that change something    the page must be one that `check_origin` lets in: 403

(That bodies under /api are JSON is checked by `api`; sockets check the origin as Phoenix does;
webhooks are signed, and come from no browser.)

What comes over a Unix socket may name any host, as no browser can connect there. It comes from a
proxy, which decides for itself which hosts it stands for, from another process of this server, or
from a program on this machine.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.protocol.browser import PageGuard, Refusal, machine_names
from phoenix_compat.protocol.origin import SAME_HOST, CheckOrigin
from phoenix_compat.server.http.problem import API_PREFIX, ProblemError
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.transports.aiohttp.peers import is_from_peer

ANY_HOST_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""They say how the server is and nothing else; load balancers ask under names of their own."""

_HOSTS_REMEDY: Final = (
    "name it in the setting `allowed_hosts`, or in `public_url` if clients reach this server by it"
)
_ORIGINS_REMEDY: Final = 'name the origin in the setting `check_origin`, as in ["//example.com"]'

log = structlog.stdlib.get_logger(__name__)


def guarding(settings: Settings) -> Middleware:
    """The middleware; it must be the outermost."""
    guard = PageGuard(
        _hosts(settings),
        check_origin_of(settings),
        hosts_remedy=_HOSTS_REMEDY,
        origins_remedy=_ORIGINS_REMEDY,
    )

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _refusal(guard, request)
        if refusal is None:
            return await handler(request)
        log.warning("browser.refused", status=refusal.status, reason=refusal.detail)
        return ProblemError(*refusal).response()

    return check


def check_origin_of(settings: Settings) -> CheckOrigin:
    """Whose pages may open sockets and change tasks: this server's own, and those that were named.

    As with Phoenix's `true` the host decides: scheme and port do not matter, for apps that send
    `Origin: ws://host:port`.
    """
    host = _public_host(settings)
    return (SAME_HOST, *(() if host is None else (f"//{host}",)), *settings.check_origin)


def _hosts(settings: Settings) -> tuple[str, ...]:
    named = (settings.host.lower(), _public_host(settings), *settings.allowed_hosts)
    return (*machine_names(socket.gethostname()), *(name for name in named if name is not None))


def _public_host(settings: Settings) -> str | None:
    """As browsers write it: small ASCII letters (xn--…), an IPv6 address in brackets."""
    host = None if settings.public_url is None else urlsplit(settings.public_url).hostname
    if host is None:
        return None
    if ":" in host:
        return f"[{host}]"
    with contextlib.suppress(UnicodeError):  # no name that the DNS knows: it stays as it is
        host = host.encode("idna").decode("ascii")
    return host


def _refusal(guard: PageGuard, request: web.Request) -> Refusal | None:
    if request.path not in ANY_HOST_PATHS and not is_from_peer(request):
        refused = guard.refuse_host(request.headers.get(hdrs.HOST))
        if refused is not None:
            return refused
    if not request.path.startswith(API_PREFIX):
        return None
    return guard.refuse_origin(request.method, request.headers)
