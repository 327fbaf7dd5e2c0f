"""Decides which URLs may be downloaded, so that nobody can make the server fetch private addresses.

The URL is checked before a request is sent. The addresses of its host are checked by the resolver
that the connection itself uses, so DNS rebinding cannot bypass the check.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.archive.errors import HostRefusedError

REPLICATE_HOSTS = ("replicate.delivery", "*.replicate.delivery")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class DownloadHosts:
    """The hosts that files may be downloaded from. Each entry has one of these forms:

    | entry | what it allows |
    |---|---|
    | `replicate.delivery` | https on port 443, at public addresses |
    | `*.replicate.delivery` | the same, for all its subdomains |
    | `http://127.0.0.1:4567` | exactly this origin, even at a private address |
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Parse the entries.

        Raises:
            ConfigError: an entry has none of these forms.
        """
        self._names: set[str] = set()
        self._suffixes: set[str] = set()
        self._origins: set[tuple[str, str, int]] = set()
        for entry in entries:
            self._add(entry)

    def validate(self, url: str | URL) -> URL:
        """Check that a URL may be downloaded, and return it parsed.

        Raises:
            HostRefusedError: it may not; the text says why.
        """
        try:
            parsed = URL(url)
            origin = (parsed.scheme, parsed.raw_host or "", parsed.port or 0)
        except ValueError as error:
            raise HostRefusedError("the URL is malformed") from error
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise HostRefusedError("the URL contains a user name")
        if origin in self._origins:
            return parsed
        scheme, host, port = origin
        if not self._is_listed(host):
            raise HostRefusedError(f"{host[:100]!r} is not an allowed host")
        if (scheme, port) != ("https", 443):
            raise HostRefusedError(f"{host[:100]!r} is allowed only over https on port 443")
        if _is_address(host) and not is_public(host):
            raise HostRefusedError(f"{host} is a private address")
        return parsed

    def is_named_origin(self, host: str, port: int) -> bool:
        """Whether an entry is an origin with this host and port, which may then be private."""
        return any((host.lower(), port) == origin[1:] for origin in self._origins)

    def _is_listed(self, host: str) -> bool:
        if "" in host.split("."):
            return False
        return host in self._names or any(host.endswith(suffix) for suffix in self._suffixes)

    def _add(self, entry: str) -> None:
        text = entry.strip().lower()
        if "://" in text:
            self._origins.add(_origin(entry))
            return
        name = text.removeprefix("*.")
        if not name or any(mark in name for mark in "*/:@?# "):
            raise ConfigError(
                f'{entry!r} is not a host; write "example.com", "*.example.com" or '
                '"http://127.0.0.1:8080"'
            )
        if name == text:
            self._names.add(name)
        else:
            self._suffixes.add(f".{name}")


class GuardedResolver(AbstractResolver):
    """Resolves host names, and refuses those with private addresses."""

    def __init__(self, hosts: DownloadHosts, resolver: AbstractResolver) -> None:
        self._hosts = hosts
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            HostRefusedError: one of them is not public, and no entry is an origin with this host
                and port.
        """
        addresses = await self._resolver.resolve(host, port, family)
        if not self._hosts.is_named_origin(host, port):
            for address in addresses:
                if not is_public(address["host"]):
                    raise HostRefusedError(f"{host} has a private address")
        return addresses

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._resolver.close()


def is_public(text: str) -> bool:
    """Whether an IP address is on the public internet."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    # These IPv6 addresses lead to the IPv4 address that they contain.
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _origin(entry: str) -> tuple[str, str, int]:
    try:
        parsed = urlsplit(entry.strip().lower())
        host, port = parsed.hostname, parsed.port
    except ValueError as error:
        raise ConfigError(f"{entry!r} is not an origin: {error}") from error
    extra = parsed.username is not None or parsed.path not in {"", "/"} or parsed.query
    if parsed.scheme not in _DEFAULT_PORTS or not host or extra:
        raise ConfigError(f'{entry!r} is not an origin; write "http://127.0.0.1:8080"')
    return (parsed.scheme, host, port or _DEFAULT_PORTS[parsed.scheme])
