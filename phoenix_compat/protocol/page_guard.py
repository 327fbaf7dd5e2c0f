"""Refuses requests that a malicious web page can make its visitor's browser send.

Any page can send requests to a server on its visitor's machine or network. The browser hides the
responses from the page, but the requests may still change something. Four headers show where a
request comes from:

- Host. With DNS rebinding a page's host name resolves to this server, so the page has the same
  origin and can read the responses. Its requests name that host. IP addresses cannot be rebound.
- Content-Type. Without a CORS preflight, a page can send only the types of HTML forms, or none.
- Origin. Browsers name the page that sends a request that may change something.
- Sec-Fetch-Site. A short form of the same, which is also sent when Origin is missing.

Sources: Fetch standard, section 2.2.2 (CORS-safelisted request-header); Fetch Metadata Request
Headers, section 2.3; RFC 9110, section 15.5.20 (421).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from phoenix_compat.protocol.origin import (
    SAME_HOST,
    CheckOrigin,
    is_origin_allowed,
    parse_check_origin,
    parse_origin,
)

ANY_HOST: Final = "*"

_MAX_SHOWN_BYTES: Final = 200
_MAX_HOST_CHARS: Final = 300
"""Longer than any name of a host with its port; it also bounds the memory for those below."""
_REMEMBERED: Final = 256
"""A server has few addresses, and parsing one takes 10 µs."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]+(?:%[^\[\]\s]+)?)\]|(?P<name>[^\s:/?#@\[\]\\,]+))(?::[0-9]*)?",
    re.ASCII | re.IGNORECASE,
)
_PATTERN: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)
_JSON_TYPE: Final = re.compile(
    r"application/json|[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+\+json", re.ASCII | re.IGNORECASE
)


class Refusal(NamedTuple):
    """Why a request is refused.

    Attributes:
        status: the HTTP status.
        word: a stable word for programs.
        detail: a sentence for people; ASCII.
    """

    status: int
    word: str
    detail: str


class PageGuard:
    """Refuses requests from pages of other sites.

    Args:
        hosts: the accepted host names besides IP addresses and localhost, as `host_pattern`
            returns them.
        check_origin: which pages may change something; see `origin`.
        hosts_remedy, origins_remedy: how the operator can allow what was refused.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        check_origin: CheckOrigin = SAME_HOST,
        *,
        hosts_remedy: str,
        origins_remedy: str,
    ) -> None:
        patterns = {"*.localhost", *hosts}
        self._accepts_all_hosts = ANY_HOST in patterns
        self._names = frozenset(pattern.removeprefix("*.") for pattern in patterns)
        self._suffixes = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*."))
        self._check_origin = parse_check_origin(check_origin)
        self._hosts_remedy = hosts_remedy
        self._origins_remedy = origins_remedy
        self._accepts_host = lru_cache(_REMEMBERED)(self._is_accepted)

    def refuse_host(self, header: str | None) -> Refusal | None:
        """Refuse a request with 421 if its Host header names a host that is not accepted.

        A request without the header uses HTTP/1.0, so it does not come from a browser.
        """
        if header is None or self._accepts_all_hosts or self._accepts_host(header):
            return None
        detail = f"This server does not accept requests for the host {_shown(header)}."
        return Refusal(421, "misdirected-request", f"{detail} To allow it, {self._hosts_remedy}.")

    def refuse_origin(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """Refuse a request with 403 if a page of another origin may change something with it.

        A page of the same site, but of another origin, is checked by its origin too.
        """
        if method in _SAFE_METHODS:
            return None
        origin = headers.get("Origin")
        if origin is None:
            if headers.get("Sec-Fetch-Site", "none") in _OWN_SITES:
                return None
            detail = "Pages of other sites may not change anything on this server."
        else:
            conn = parse_origin(f"//{headers.get('Host', '')}")
            if is_origin_allowed(origin, self._check_origin, url_host=None, conn=conn):
                return None
            detail = f"Pages of {_shown(origin)} may not change anything on this server."
        return Refusal(403, "origin-not-allowed", f"{detail} To allow it, {self._origins_remedy}.")

    def refuse(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Refusal | None:
        """Apply all checks to a request whose body must be JSON."""
        return (
            self.refuse_host(headers.get("Host"))
            or refuse_body(method, headers, has_body=has_body)
            or self.refuse_origin(method, headers)
        )

    def _is_accepted(self, header: str) -> bool:
        found = _HOST.fullmatch(header) if len(header) <= _MAX_HOST_CHARS else None
        if found is None:
            return False
        address, name = found["v6"], found["name"]
        if address is not None:
            return _is_address(IPv6Address, address)
        name = name.lower().removesuffix(".")
        return (
            name in self._names
            or name.endswith(self._suffixes)
            or (name[-1:].isdigit() and _is_address(IPv4Address, name))
        )


def refuse_body(method: str, headers: Mapping[str, str], *, has_body: bool) -> Refusal | None:
    """Refuse a request with 415 if it may change something and its body is not JSON.

    A body without a Content-Type is refused too, because any page can send one.
    """
    if method in _SAFE_METHODS or not has_body:
        return None
    if _JSON_TYPE.fullmatch(headers.get("Content-Type", "").partition(";")[0].strip()):
        return None
    detail = 'Send JSON with the header "Content-Type: application/json".'
    return Refusal(415, "unsupported-media-type", detail)


def host_pattern(text: str) -> str:
    """Normalise an entry of `allowed_hosts`: a name, `*.example.com` or `*`.

    Raises:
        ValueError: the entry can never match a Host header; the message says what to write.
    """
    if text == ANY_HOST:
        return text
    pattern = text.lower().removesuffix(".")
    if _PATTERN.fullmatch(pattern):
        return pattern
    if _is_address(IPv6Address, pattern.removeprefix("[").removesuffix("]")):
        return pattern  # not needed, because addresses are always accepted, but not an error
    host = parse_origin(pattern if "//" in pattern else f"//{pattern}").host
    if not pattern.isascii():
        reason = "is not ASCII; write the name as browsers send it, with xn--"
    elif host and host != pattern and _PATTERN.fullmatch(host):
        reason = f"is more than a host name; write {host!r}, without scheme, port and path"
    else:
        reason = "is not a host name; write 'example.com', '*.example.com' or '*'"
    raise ValueError(f"{text!r} {reason}")


def machine_names(hostname: str) -> frozenset[str]:
    """The names of a machine in its network: its full name, the first part, and `first.local`."""
    name = hostname.lower().removesuffix(".")
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"}) if short else frozenset()


def _is_address(address_type: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        address_type(text)
    except AddressValueError:
        return False
    return True


def _shown(header: str) -> str:
    """A header's value, shortened and in ASCII, because it is untrusted."""
    return ascii(header)[:_MAX_SHOWN_BYTES]
