"""What a web page can make its visitor's browser send, and what a server should refuse of it.

Any page can send requests to a server on its visitor's machine or network. The browser hides the
answers from it, but what a request changes is changed by then. Four things tell:

- Host. A page whose name is made to lead to this server (DNS rebinding) shares its origin, so the
  browser hides nothing. Its requests name that host; nobody can do this with an IP address.
- Content-Type. Without asking first, a page can send only the types that a form can, or none.
- Origin. Browsers say which page sends a request that may change something.
- Sec-Fetch-Site. The same in one word, also where Origin is missing.

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
    """Why a request is not carried out.

    Attributes:
        status: of HTTP.
        word: a stable word for programs.
        detail: a sentence for people; ASCII.
    """

    status: int
    word: str
    detail: str


class PageGuard:
    """Decides which requests that pages can cause are carried out.

    Args:
        hosts: names that the server answers to, besides IP addresses and localhost, as
            `host_pattern` returns them.
        check_origin: which pages may change something; see `origin`.
        hosts_remedy, origins_remedy: what the operator can do to allow what was refused.
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
        self._answers_to_all = ANY_HOST in patterns
        self._names = frozenset(pattern.removeprefix("*.") for pattern in patterns)
        self._suffixes = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*."))
        self._check_origin = parse_check_origin(check_origin)
        self._hosts_remedy = hosts_remedy
        self._origins_remedy = origins_remedy

    def refuse_host(self, header: str | None) -> Refusal | None:
        """421 when the Host header names a host that this server does not answer to.

        A request without the header is of HTTP/1.0, which no browser speaks.
        """
        if header is None or self._answers_to_all or self._answers_to(header):
            return None
        detail = f"This server does not answer to the host {_shown(header)}."
        return Refusal(421, "misdirected-request", f"{detail} To allow it, {self._hosts_remedy}.")

    def refuse_origin(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """403 when a page from elsewhere wants to change something.

        A page of another origin of the same site is judged by its origin like any other.
        """
        if method in _SAFE_METHODS:
            return None
        origin = headers.get("Origin")
        if origin is None:
            if headers.get("Sec-Fetch-Site", "none") in _OWN_SITES:
                return None
            detail = "A page of another site may not change anything here."
        else:
            conn = parse_origin(f"//{headers.get('Host', '')}")
            if is_origin_allowed(origin, self._check_origin, url_host=None, conn=conn):
                return None
            detail = f"Pages of {_shown(origin)} may not change anything here."
        return Refusal(403, "origin-not-allowed", f"{detail} To allow it, {self._origins_remedy}.")

    def refuse(self, method: str, headers: Mapping[str, str], *, has_body: bool) -> Refusal | None:
        """All that can be wrong with a request whose body is JSON."""
        return (
            self.refuse_host(headers.get("Host"))
            or refuse_body(method, headers, has_body=has_body)
            or self.refuse_origin(method, headers)
        )

    def _answers_to(self, header: str) -> bool:
        found = _HOST.fullmatch(header)
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
    """415 when a request that may change something has a body of another type than JSON.

    A page can send a body without a type, too, so a missing one is refused like any other.
    """
    if method in _SAFE_METHODS or not has_body:
        return None
    if _JSON_TYPE.fullmatch(headers.get("Content-Type", "").partition(";")[0].strip()):
        return None
    detail = 'Send JSON with the header "Content-Type: application/json".'
    return Refusal(415, "unsupported-media-type", detail)


def host_pattern(text: str) -> str:
    """An entry of `allowed_hosts` as it is compared: a name, `*.example.com` or `*`.

    Raises:
        ValueError: it can never match a Host header; the text says why and what to write.
    """
    if text == ANY_HOST:
        return text
    pattern = text.lower().removesuffix(".")
    if _PATTERN.fullmatch(pattern):
        return pattern
    if _is_address(IPv6Address, pattern.removeprefix("[").removesuffix("]")):
        return pattern  # never needed, but no mistake: addresses are always answered
    host = parse_origin(pattern if "//" in pattern else f"//{pattern}").host
    if not pattern.isascii():
        reason = "is not in ASCII; write the name as browsers send it, with xn--"
    elif host and host != pattern and _PATTERN.fullmatch(host):
        reason = f"is more than the name of a host; write {host!r}, without scheme, port and path"
    else:
        reason = "is no name of a host; write 'example.com', '*.example.com' or '*'"
    raise ValueError(f"{text!r} {reason}")


def machine_names(hostname: str) -> frozenset[str]:
    """What a machine is called in its network: its name, the first part of it, and with .local."""
    name = hostname.lower().removesuffix(".")
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"}) if short else frozenset()


@lru_cache(maxsize=256)  # a server has few addresses, and reading one takes 10 µs
def _is_address(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def _shown(header: str) -> str:
    """A header's value, cut and in ASCII: it is somebody else's text."""
    return ascii(header)[:_MAX_SHOWN_BYTES]
