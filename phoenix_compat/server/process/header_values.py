"""Settings that go into HTTP headers and URLs: what is wrong with one, never quoting a secret."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

MAX_TOKEN_CHARS: Final = 4_096
_MAX_URL_CHARS: Final = 2_048

MASK: Final = "**********"

_VISIBLE: Final = re.compile(r"[!-~]*")
_OF_A_URL: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_SECRETS: Final = re.compile(r"r8_[^\s'\"/]*|(?<=//)[^/\s]*(?=@)")
_KINDS: Final = {"\n": "a line break", "\r": "a line break", "\t": "a tab", " ": "a space"}


def masked(text: str) -> str:
    """Text in which no token of Replicate's and no password of a URL can be read."""
    return _SECRETS.sub(MASK, text)


def token_problem(token: str) -> str | None:
    """Why no request could carry a token, and what to do; None when one can.

    Says the kind of a wrong character and its place, counted from 1, and nothing of the token.
    """
    if not token:
        return "is empty; leave it out to have the emulator, or copy the token again"
    if len(token) > MAX_TOKEN_CHARS:
        return f"is longer than {MAX_TOKEN_CHARS} characters; is it another file's text?"
    good = _end_of(_VISIBLE, token)
    if good == len(token):
        return None
    return (
        f"has {_kind_of(token[good])} at position {good + 1}, which no HTTP header can carry; "
        "copy the token again, without quotes and white space"
    )


def checked_token(token: SecretStr) -> SecretStr:
    """For pydantic. Raises ValueError with `token_problem`."""
    problem = token_problem(token.get_secret_value())
    if problem is not None:
        raise ValueError(problem)
    return token


def checked_url(url: str) -> str:
    """For pydantic: an address that requests can be sent to and clients can be told.

    Raises:
        ValueError: what is wrong with it, without the text of it.
    """
    if len(url) > _MAX_URL_CHARS:
        raise ValueError(f"is longer than {_MAX_URL_CHARS} characters")
    good = _end_of(_OF_A_URL, url)
    if good < len(url):
        raise ValueError(
            f"has {_kind_of(url[good])} at position {good + 1}, which no URL has; "
            "write names of other alphabets in Punycode (xn--…)"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("has a host or port that cannot be read") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if not host or port == 0:
        raise ValueError("has no host, or the port 0")
    if parts.query or parts.fragment:
        raise ValueError("must end before '?' and '#'")
    return url


def _end_of(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return 0 if found is None else found.end()


def _kind_of(letter: str) -> str:
    if letter in _KINDS:
        return _KINDS[letter]
    if not letter.isascii():
        return "a character outside of ASCII"
    return "a character that is not allowed" if letter.isprintable() else "a control character"
