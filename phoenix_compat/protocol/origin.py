"""Which web pages may connect: Phoenix's `check_origin`.

    True               the origin's host is the endpoint's own (`url_host`)
    False              every origin passes
    CONN               scheme, host and port are those of the request itself
    ["//a.com", ...]   any entry matches: its scheme if given, its port if given or implied by the
                       scheme, its host; `*.a.com` is a.com and all below it
    a callable         called with the parsed origin; true passes

A request without an Origin header passes always: it comes from no web page.

Source: phoenix 1.8.12, lib/phoenix/socket/transport.ex, check_origin/5 and origin_allowed?/4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from phoenix_compat.errors import ConfigError

CONN: Final = "conn"
"""The request's own scheme, host and port (`:conn` in Phoenix)."""

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origin(NamedTuple):
    """Where a page came from; None for what the text does not say. `port` may be implied."""

    scheme: str | None
    host: str | None
    port: int | None


CheckOrigin: TypeAlias = bool | Literal["conn"] | Sequence[str] | Callable[[Origin], bool]


@lru_cache(maxsize=256)  # a server has few names, and pages on few hosts
def parse_origin(text: str) -> Origin:
    """Take an Origin header or an entry of the list apart; what is no URL has no host.

    The host keeps its case: Phoenix compares it as it stands.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return Origin(None, None, None)
    netloc = parts.netloc.rpartition("@")[2]
    host = netloc if netloc.startswith("[") else netloc.partition(":")[0]
    host = host.partition("]")[0].lstrip("[") if host.startswith("[") else host
    scheme = parts.scheme or None
    if port is None and scheme is not None:
        port = _PORTS.get(scheme)
    return Origin(scheme, host or None, port)


def parse_check_origin(check: CheckOrigin) -> CheckOrigin:
    """Look for mistakes in a `check_origin` setting, when the socket is mounted.

    Raises:
        ConfigError: an entry of the list has no host.
    """
    if isinstance(check, (bool, str)) or callable(check):
        if isinstance(check, str) and check != CONN:
            raise ConfigError(f"check_origin={check!r}: give True, False, 'conn' or a list")
        return check
    for entry in check:
        if parse_origin(entry).host is None:
            raise ConfigError(
                f"check_origin entry {entry!r} has no host; write it as '//example.com'"
            )
    return tuple(check)


def is_origin_allowed(
    header: str | None, check: CheckOrigin, *, url_host: str | None, conn: Origin
) -> bool:
    """Whether a request may connect.

    Args:
        header: the first Origin header, None when there is none.
        check: the setting, see the module.
        url_host: the endpoint's own host; None lets every host pass `True`.
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
        return origin == conn
    return any(_matches(origin, parse_origin(entry)) for entry in check)


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
