"""Decides which web pages may connect: Phoenix's `check_origin`.

    True               the origin's host must be the endpoint's own (`url_host`)
    False              every origin is allowed
    CONN               scheme, host and port must be those of the request itself
    SAME_HOST          the host must be that of the request itself; scheme and port do not matter.
                       It may also be an entry of a list. It relies on the request's Host header,
                       so a server that accepts any host should check that header first
    ["//a.com", ...]   one entry must match: the scheme if given, the port if given or implied by
                       the scheme, and the host; `*.a.com` is a.com and all its subdomains
    a callable         called with the parsed origin; a true result allows it

A request without an Origin header is always allowed, because it does not come from a web page.

Sources: phoenix 1.8.12, lib/phoenix/socket/transport.ex, check_origin/5 and origin_allowed?/4;
elixir 1.18, lib/elixir/lib/uri.ex, parse/1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

from phoenix_compat.bounded import brief
from phoenix_compat.declarations.options import is_texts
from phoenix_compat.errors import ConfigError

CONN: Final = "conn"
"""The request's own scheme, host and port (`:conn` in Phoenix)."""

SAME_HOST: Final = "same-host"
"""The request's own host, with any scheme and port. Phoenix has no such value."""

_PORTS: Final = {
    "ftp": 21,
    "http": 80,
    "https": 443,
    "ldap": 389,
    "sftp": 22,
    "tftp": 69,
    "ws": 80,
    "wss": 443,
}
"""The default ports of Elixir's `URI.default_port/1`."""

_URI: Final = re.compile(r"(?:([a-z][a-z0-9+\-.]*):)?(?://([^/?#]*))?", re.ASCII | re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(?:.*@)?(\[[a-zA-Z0-9:.]*\]|[^:]*)(?::([0-9]*))?")

_MAX_PORT_DIGITS: Final = 6
"""One more than a port has. Longer numbers are cut, because they are not valid ports anyway."""


class Origin(NamedTuple):
    """A parsed origin; a missing part is None. `port` may be implied by the scheme.

    `host` is "" if the text has an empty host, as in `file://`.
    """

    scheme: str | None
    host: str | None
    port: int | None


CheckOrigin: TypeAlias = (
    bool | Literal["conn", "same-host"] | Sequence[str] | Callable[[Origin], bool]
)


@lru_cache(maxsize=256)  # a server has few names, and pages on few hosts
def parse_origin(text: str) -> Origin:
    """Parse an Origin header or an entry of the list, as Elixir's `URI.parse/1` does.

    Every text can be parsed: a port that is not a number counts as missing, and a text that is not
    a URL has no host. The host keeps its case, because Phoenix compares it as it is.
    """
    uri = _URI.match(text)
    scheme, authority = (None, None) if uri is None else uri.groups()
    scheme = None if scheme is None else scheme.lower()
    host, port = _split_authority(authority)
    if port is None and scheme is not None:
        port = _PORTS.get(scheme)
    return Origin(scheme, host, port)


def _split_authority(authority: str | None) -> tuple[str | None, int | None]:
    """Host and port of `user@host:port`; an IPv6 address loses its brackets."""
    parts = None if not authority else _AUTHORITY.match(authority)
    if parts is None:
        return authority, None
    host, digits = parts.groups()
    port = int(digits.lstrip("0")[:_MAX_PORT_DIGITS] or "0") if digits else None
    return (host.lstrip("[").rstrip("]") if host else None), port


def parse_check_origin(check: CheckOrigin) -> CheckOrigin:
    """Validate a `check_origin` setting, when the socket is mounted.

    Raises:
        ConfigError: the setting is an unknown word, or an entry of the list has no host.
    """
    if isinstance(check, (bool, str)) or callable(check):
        if isinstance(check, str) and check not in {CONN, SAME_HOST}:
            raise ConfigError(
                f"check_origin={check!r} is not valid; use True, False, {CONN!r}, {SAME_HOST!r} "
                f"or a list: check_origin=[{check!r}]"
            )
        return check
    if not is_texts(check, may_be_empty=True):
        raise ConfigError(
            f"check_origin is {brief(check)}, but must be a list of origins, such as "
            "check_origin=['//example.com']"
        )
    for entry in check:
        if entry != SAME_HOST and not _can_match(parse_origin(entry)):
            raise ConfigError(
                f"check_origin entry {entry!r} has no host; write it as '//example.com'"
            )
    return tuple(check)


def _can_match(entry: Origin) -> bool:
    # Local files have an origin without a host; the entry `file://` allows them.
    return bool(entry.host) or (entry.host == "" and entry.scheme not in {None, *_PORTS})


def is_origin_allowed(
    header: str | None, check: CheckOrigin, *, url_host: str | None, conn: Origin
) -> bool:
    """Whether a request may connect.

    Args:
        header: the first Origin header; None if there is none.
        check: the setting; see the module docstring.
        url_host: the endpoint's own host; with None the setting True allows every host.
        conn: scheme, host and port of the request itself.
    """
    if header is None or check is False:
        return True
    origin = parse_origin(header)
    if callable(check):
        return bool(check(origin))
    if origin.host is None:
        return False
    if check is True:
        return url_host is None or origin.host == url_host
    if isinstance(check, str):
        return _is_of_request(origin, check, conn)
    return any(
        _is_of_request(origin, SAME_HOST, conn)
        if entry == SAME_HOST
        else _matches(origin, parse_origin(entry))
        for entry in check
    )


def _is_of_request(origin: Origin, check: str, conn: Origin) -> bool:
    # If the request has no host, no page has the same host.
    is_same_host = bool(conn.host) and origin.host == conn.host
    return is_same_host and (check == SAME_HOST or origin == conn)


def _matches(origin: Origin, allowed: Origin) -> bool:
    return (
        (allowed.scheme is None or allowed.scheme == origin.scheme)
        and (allowed.port is None or allowed.port == origin.port)
        and _is_host_within(origin.host or "", allowed.host or "")
    )


def _is_host_within(host: str, allowed: str) -> bool:
    if not allowed.startswith("*."):
        return host == allowed
    apex = allowed.removeprefix("*.")
    return host == apex or host.endswith("." + apex)
