"""Which addresses files may be fetched from; the guard against being sent into our own network.

A name is judged before anything is sent, and its addresses where the connection is made: what is
checked is what is connected to, so a name that changes its mind in between changes nothing.
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
    """The list of hosts, each one of:

    | entry | what it lets in |
    |---|---|
    | `replicate.delivery` | https on port 443, at public addresses |
    | `*.replicate.delivery` | the same, for every name below it |
    | `http://127.0.0.1:4567` | this origin and no other, wherever it is: the operator named it |
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Read the list.

        Raises:
            ConfigError: an entry that has none of these forms.
        """
        self._names: set[str] = set()
        self._suffixes: set[str] = set()
        self._origins: set[tuple[str, str, int]] = set()
        for entry in entries:
            self._add(entry)

    def checked(self, url: str | URL) -> URL:
        """The URL, when files may be fetched from it.

        Raises:
            HostRefusedError: they may not; the text says why.
        """
        try:
            parsed = URL(url)
            origin = (parsed.scheme, parsed.raw_host or "", parsed.port or 0)
        except ValueError as error:
            raise HostRefusedError("the address is malformed") from error
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise HostRefusedError("the address carries a user name")
        if origin in self._origins:
            return parsed
        scheme, host, port = origin
        if not self._is_listed(host):
            raise HostRefusedError(f"{host[:100]!r} is not a host that files are fetched from")
        if (scheme, port) != ("https", 443):
            raise HostRefusedError(f"{host[:100]!r} is asked over https on port 443 only")
        if _is_address(host) and not is_public(host):
            raise HostRefusedError(f"{host} is a private address")
        return parsed

    def is_named_origin(self, host: str, port: int) -> bool:
        """Whether the operator named this very host and port, so that it may be private."""
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
                f'{entry!r} is no host; write "example.com", "*.example.com" or '
                '"http://127.0.0.1:8080"'
            )
        if name == text:
            self._names.add(name)
        else:
            self._suffixes.add(f".{name}")


class GuardedResolver(AbstractResolver):
    """Looks names up, and hands on no address of a private network."""

    def __init__(self, hosts: DownloadHosts, resolver: AbstractResolver) -> None:
        self._hosts = hosts
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            HostRefusedError: one of them is not public, and the origin was not named as such.
        """
        found = await self._resolver.resolve(host, port, family)
        if not self._hosts.is_named_origin(host, port):
            for address in found:
                if not is_public(address["host"]):
                    raise HostRefusedError(f"{host} is at a private address")
        return found

    async def close(self) -> None:
        """Close the resolver behind it."""
        await self._resolver.close()


def is_public(text: str) -> bool:
    """Whether an IP address belongs to a host on the public network."""
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
    # Such an address only leads to the IPv4 address within it.
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
        raise ConfigError(f"{entry!r} is no origin: {error}") from error
    extra = parsed.username is not None or parsed.path not in {"", "/"} or parsed.query
    if parsed.scheme not in _DEFAULT_PORTS or not host or extra:
        raise ConfigError(f'{entry!r} is no origin; write "http://127.0.0.1:8080"')
    return (parsed.scheme, host, port or _DEFAULT_PORTS[parsed.scheme])
