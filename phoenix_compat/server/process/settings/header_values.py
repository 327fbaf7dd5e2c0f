"""Checks settings that go into HTTP headers and URLs, without ever quoting a secret."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

MAX_TOKEN_CHARS: Final = 4_096
_MAX_URL_CHARS: Final = 2_048

MASK: Final = "**********"

_VISIBLE: Final = re.compile(r"[!-~]*")
_URL_CHARS: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_SECRETS: Final = re.compile(r"r8_[^\s'\"/]*|(?<=//)[^/\s]*(?=@)")
_CHARACTER_NAMES: Final = {
    "\n": "a line break",
    "\r": "a line break",
    "\t": "a tab",
    " ": "a space",
}


def masked(text: str) -> str:
    """The text with Replicate tokens and the passwords in URLs masked."""
    return _SECRETS.sub(MASK, text)


def token_problem(token: str) -> str | None:
    """Why no HTTP header can carry a token, and what to do; None if the token is fine.

    The text names the kind of the first wrong character and its position, counted from 1, but no
    part of the token.
    """
    if not token:
        return "is empty; leave it out to use the emulator, or copy the token again"
    if len(token) > MAX_TOKEN_CHARS:
        return f"is longer than {MAX_TOKEN_CHARS} characters; is it the text of another file?"
    good_chars = _matched_chars(_VISIBLE, token)
    if good_chars == len(token):
        return None
    return (
        f"has {_name_of(token[good_chars])} at position {good_chars + 1}, which no HTTP header "
        "can carry; copy the token again, without quotes and white space"
    )


def checked_token(token: SecretStr) -> SecretStr:
    """Validate a token for pydantic. Raises ValueError with the text of `token_problem`."""
    problem = token_problem(token.get_secret_value())
    if problem is not None:
        raise ValueError(problem)
    return token


def checked_url(url: str) -> str:
    """Validate an HTTP address for pydantic.

    Raises:
        ValueError: what is wrong with it, without quoting it.
    """
    if len(url) > _MAX_URL_CHARS:
        raise ValueError(f"is longer than {_MAX_URL_CHARS} characters")
    good_chars = _matched_chars(_URL_CHARS, url)
    if good_chars < len(url):
        raise ValueError(
            f"has {_name_of(url[good_chars])} at position {good_chars + 1}, which no URL has; "
            "write names in other alphabets in Punycode (xn--…)"
        )
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("has a host or port that cannot be read") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password")
    if not host or port == 0:
        raise ValueError("has no host, or the port 0")
    if parts.query or parts.fragment:
        raise ValueError("must not contain '?' or '#'")
    return url


def checked_origin_url(url: str) -> str:
    """Validate an HTTP address without a path for pydantic. Raises ValueError."""
    if urlsplit(checked_url(url)).path not in {"", "/"}:
        raise ValueError('must have no path, as in "https://example.com"')
    return url


def _matched_chars(pattern: re.Pattern[str], text: str) -> int:
    """How many characters at the beginning of a text match."""
    found = pattern.match(text)
    return 0 if found is None else found.end()


def _name_of(character: str) -> str:
    if character in _CHARACTER_NAMES:
        return _CHARACTER_NAMES[character]
    if not character.isascii():
        return "a character outside of ASCII"
    return "a character that is not allowed" if character.isprintable() else "a control character"
