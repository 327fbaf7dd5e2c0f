"""Finds the address of a client, also behind proxies, as the key by which it is counted.

The peer of the connection is the client, unless it is a trusted proxy. Then the client is who the
proxy names: each proxy adds its own peer at the right end of X-Forwarded-For (or Forwarded), so the
header is read from the right, and the first address that is not a trusted proxy is the client.
Whatever is left of it was written by the client itself, and is not read.

    203.0.113.7                an IPv4 address, also if it was written as IPv6
    2001:db8:1:2::/64          an IPv6 network: a client has all addresses of its /64
    via 10.0.0.2               clients of this proxy whose address is not clear
    None                       not counted: programs on this machine, trusted proxies themselves,
                               and other processes of this server, which counted the request already
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import islice
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from phoenix_compat.server.process.proxy_networks import UNIX, Network, parse_network
from phoenix_compat.transports.aiohttp.request import RequestHead

CLIENT_ADDRESS: Final[web.RequestKey[str | None]] = web.RequestKey("client_address")
"""The key under which a request carries what `ClientAddresses.of` found."""

MAX_HOPS: Final = 16
"""How many proxies in a row may be trusted; further entries are not read."""

_REMEMBERED: Final = 4_096
_MAX_HOP_CHARS: Final = 64
_PREFIX_BITS: Final = 64
_VIA: Final = "via "

_HOP: Final = re.compile(
    r'"?(?:\[(?P<v6>[0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::\d+)?'
    r"|(?P<v4>\d+\.\d+\.\d+\.\d+)(?::\d+)?"
    r'|(?P<bare>[0-9A-Fa-f:.]+)(?:%[^"]*)?)"?',
    re.ASCII,
)
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.ASCII | re.IGNORECASE)


class _Hop(NamedTuple):
    """An address on the way of a request.

    Attributes:
        key: by which a client with this address is counted; None if it is not counted.
        is_trusted: whether it is a trusted proxy.
    """

    key: str | None
    is_trusted: bool


class ClientAddresses:
    """Finds the addresses of clients.

    Args:
        trusted_proxies: the setting of this name.
        has_peers: whether requests over a Unix socket come from other processes of this server.
            Their headers are those that a client sent to the other process, so they prove nothing.
    """

    def __init__(self, trusted_proxies: Iterable[str], *, has_peers: bool = False) -> None:
        self._has_peers = has_peers
        self._networks: tuple[Network, ...] = ()
        self._is_unix_trusted = False
        self._hop_of = lru_cache(_REMEMBERED)(self._read_hop)
        self.trust(trusted_proxies)

    def trust(self, trusted_proxies: Iterable[str]) -> None:
        """Trust these proxies from now on."""
        entries = tuple(trusted_proxies)
        self._networks = tuple(parse_network(entry) for entry in entries if entry != UNIX)
        self._is_unix_trusted = UNIX in entries and not self._has_peers
        self._hop_of.cache_clear()

    def is_uncounted(self, address: str) -> bool:
        """Whether an IP address is not a client's of its own: this machine's, or a proxy's."""
        hop = self._hop_of(address)
        return hop is None or hop.key is None or hop.is_trusted

    def is_from_proxy(self, request: RequestHead) -> bool:
        """Whether a trusted proxy sent the request."""
        if not (self._networks or self._is_unix_trusted):
            return False
        peer = None if request.transport is None else request.transport.get_extra_info("peername")
        if not isinstance(peer, tuple):
            return self._is_unix_trusted
        hop = self._hop_of(str(peer[0]))
        return hop is not None and hop.is_trusted

    def of(self, request: RequestHead) -> str | None:
        """The key by which the client is counted; None if it is not counted."""
        peer = None if request.transport is None else request.transport.get_extra_info("peername")
        if not isinstance(peer, tuple):  # a Unix socket, or a client that is gone
            return self._forwarded(UNIX, request) if self._is_unix_trusted else None
        name = str(peer[0])
        hop = self._hop_of(name)
        if hop is None:
            return None
        return self._forwarded(name, request) if hop.is_trusted else hop.key

    def _forwarded(self, proxy: str, request: RequestHead) -> str | None:
        """The client that a trusted proxy names.

        A proxy passes on the header that it does not write itself as the client sent it. So if
        there are both, and they do not agree, either may be forged.
        """
        keys = []
        if lines := request.headers.getall(hdrs.X_FORWARDED_FOR, ()):
            keys.append(self._first_untrusted(_from_the_right(lines), proxy))
        if lines := request.headers.getall(hdrs.FORWARDED, ()):
            hops = [_named_in(element) for element in islice(_from_the_right(lines), MAX_HOPS + 1)]
            if hops[0]:  # else the proxy says something else in it, such as the scheme
                keys.append(self._first_untrusted(hops, proxy))
        if not keys:
            return None  # the proxy's own request
        return keys[0] if keys[0] == keys[-1] else _VIA + proxy

    def _first_untrusted(self, hops: Iterable[str], proxy: str) -> str | None:
        for number, text in enumerate(hops):
            is_read = number < MAX_HOPS and len(text) <= _MAX_HOP_CHARS
            hop = self._hop_of(text) if is_read else None
            if hop is None:
                return _VIA + proxy
            if not hop.is_trusted:
                return hop.key
        return None

    def _read_hop(self, text: str) -> _Hop | None:
        """What an address is, with or without a port; None if it is not an address."""
        address = _address(text)
        if address is None:
            return None
        is_trusted = any(address in network for network in self._networks)
        return _Hop(None if address.is_loopback else _key(address), is_trusted)


def _named_in(element: str) -> str:
    """The client that an element of Forwarded names; "" if it names none.

    Source: RFC 7239, section 4.
    """
    found = _FOR.search(element)
    return "" if found is None else found[1]


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    """The elements of a list that may be in several lines, the last first.

    Commas inside of quotes separate too: no proxy writes one there, and a quote that a client left
    open must not hide what a proxy has added.
    """
    for line in reversed(lines):
        left, comma = line, ","
        while comma:
            left, comma, element = left.rpartition(",")
            yield element.strip()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    found = _HOP.fullmatch(text)
    if found is None:
        return None
    try:
        address = ip_address(found["v6"] or found["v4"] or found["bare"])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _key(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _PREFIX_BITS), strict=False))
