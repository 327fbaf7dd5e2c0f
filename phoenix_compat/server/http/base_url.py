"""Finds the address by which a client reaches this server, for the links to files that it gets.

    public_url                              where the setting is set, for every client
    X-Forwarded-Proto, X-Forwarded-Host     from a proxy in `trusted_proxies`
    Host                                    of the request; `host_and_origin` has checked it; an
                                            address of this machine in place of 0.0.0.0 and [::]
    the address of the connection           for HTTP/1.0 without Host
    ""                                      the same over a Unix socket: links are paths

Whoever is not a trusted proxy can still name any address that passes the check of Host, but gets
links to it only itself. Of several values that proxies have added to one header, the last counts:
the one before may be the client's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.server.process.addresses import reachable_url
from phoenix_compat.server.rates.client_address import ClientAddresses
from phoenix_compat.transports.aiohttp.peers import is_from_peer
from phoenix_compat.transports.aiohttp.request import RequestHead

PEER_HEADER: Final = "X-Phoenix-Compat-Base-URL"
"""Names the address in a request that another process of this server forwards."""

_BASE_URL: Final = web.RequestKey("base_url", str)
_REMEMBERED: Final = 1_024
_MAX_HOST_CHARS: Final = 300
_HOST: Final = re.compile(
    r"(?P<host>\[[0-9a-f:.]+(?:%[0-9a-z._~-]+)?\]|[0-9a-z._-]+)(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII | re.IGNORECASE,
)
_ANY_URLS: Final = ("http://0.0.0.0:", "http://[::]:")
"""What the address of a server on all addresses looks like; only this machine can open it."""
_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class BaseUrls:
    """Finds the addresses by which clients reach this server.

    Args:
        public_url: the setting of this name.
        addresses: knows the trusted proxies.
        has_peers: whether requests over a Unix socket come from other processes of this server.
    """

    def __init__(
        self, public_url: str | None, addresses: ClientAddresses, *, has_peers: bool = False
    ) -> None:
        self._public_url = None if public_url is None else public_url.rstrip("/")
        self._addresses = addresses
        self._has_peers = has_peers

    def note(self, request: web.Request) -> None:
        """Note the address for `base_url_of`; a check that refuses nothing."""
        request[_BASE_URL] = self.of(request)

    def of(self, request: RequestHead) -> str:
        """The address without a slash at the end; "" if the request does not tell it."""
        if self._public_url is not None:
            return self._public_url
        if self._has_peers and is_from_peer(request):
            scheme, _, host = request.headers.get(PEER_HEADER, "").partition("://")
            return _base_url(scheme, host) or ""
        scheme, host = request.scheme, request.headers.get(hdrs.HOST, "")
        if self._addresses.is_from_proxy(request):
            scheme = _SCHEMES.get(_last(request, hdrs.X_FORWARDED_PROTO).lower(), scheme)
            host = _last(request, hdrs.X_FORWARDED_HOST) or host
        found = _base_url(scheme, host) or _own_address(request)
        return reachable_url(found) if found.startswith(_ANY_URLS) else found


def base_url_of(request: web.Request) -> str:
    """What `BaseUrls` found; "" without its check."""
    found: str = request.get(_BASE_URL, "")
    return found


@lru_cache(_REMEMBERED)  # clients that use one address share one text
def _base_url(scheme: str, host: str) -> str | None:
    found = _HOST.fullmatch(host) if len(host) <= _MAX_HOST_CHARS else None
    if found is None or scheme not in _SCHEMES:
        return None
    scheme = _SCHEMES[scheme]
    port = found["port"]
    suffix = "" if not port or port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{found['host'].lower()}{suffix}"


def _own_address(request: RequestHead) -> str:
    """The address at which the connection arrived; "" for a Unix socket."""
    found = None if request.transport is None else request.transport.get_extra_info("sockname")
    if not isinstance(found, tuple):
        return ""
    host = f"[{found[0]}]" if ":" in str(found[0]) else str(found[0])
    return _base_url("http", f"{host}:{found[1]}") or ""


def _last(request: RequestHead, name: str) -> str:
    lines = request.headers.getall(name, ())
    return lines[-1].rpartition(",")[2].strip() if lines else ""
