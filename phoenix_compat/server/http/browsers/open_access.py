"""Protects a server without authentication from being used by others than this machine.

It listens on the loopback only, but a proxy in front of it could pass on requests from anywhere. So
requests are refused with 403 if a proxy sent them, which its headers show, or if they name a host
that is not this machine.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import structlog
from aiohttp import hdrs, web

from phoenix_compat.protocol.origin import parse_origin
from phoenix_compat.server.auth.exposure import WAYS_OUT
from phoenix_compat.server.http.browsers.host_and_origin import ANY_HOST_PATHS
from phoenix_compat.server.http.checks import Check
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.process.addresses import is_loopback_name
from phoenix_compat.transports.aiohttp.peers import is_from_peer
from phoenix_compat.transports.aiohttp.request import RequestHead

_FORWARDED: Final = frozenset({"forwarded", "x-real-ip"})
_FORWARDED_PREFIX: Final = "x-forwarded-"
_FORWARDED_INITIALS: Final = frozenset("fFxX")
"""The first letters of these names, for a fast check."""
_REMEMBERED: Final = 256

log = structlog.stdlib.get_logger(__name__)


def local_only(*, has_peers: bool) -> Check:
    """Build the check; it comes after the one of host and origin.

    Args:
        has_peers: whether requests over Unix sockets come from other processes of this server,
            which have checked their host.
    """

    def check(request: web.Request) -> web.StreamResponse | None:
        if request.path in ANY_HOST_PATHS:
            return None
        reason = _forwarding_header(request)
        if reason is None and not (has_peers and is_from_peer(request)):
            reason = _foreign_host(request)
        if reason is None:
            return None
        log.warning("auth.refused_without_auth", reason=reason)
        detail = f"This server has no authentication, and the request {reason}."
        return ProblemError(403, "forbidden", f"{detail} The operator can {WAYS_OUT}.").response()

    return check


def is_local(head: RequestHead) -> bool:
    """Whether a request comes from this machine as far as it shows, and not through a proxy."""
    return _forwarding_header(head) is None and _foreign_host(head) is None


def _forwarding_header(request: RequestHead) -> str | None:
    for name in request.headers:
        if name[:1] in _FORWARDED_INITIALS:
            lowered = name.lower()
            if lowered in _FORWARDED or lowered.startswith(_FORWARDED_PREFIX):
                return "comes through a proxy (it has forwarding headers)"
    return None


def _foreign_host(request: RequestHead) -> str | None:
    """Why the Host is not this machine; HTTP/1.0 may leave it out."""
    header = request.headers.get(hdrs.HOST)
    if header is None:
        return None
    host = parse_origin(f"//{header}").host or ""
    if _is_loopback(host) or host == _own_address(request):
        return None
    return "names a host that is not this machine"


_is_loopback: Final = lru_cache(_REMEMBERED)(is_loopback_name)
"""The same; a server has few names, and to parse an address takes longer than all else here."""


def _own_address(request: RequestHead) -> str | None:
    """The address at which the connection arrived; None for a Unix socket."""
    found = None if request.transport is None else request.transport.get_extra_info("sockname")
    return str(found[0]) if isinstance(found, tuple) else None
