"""Where a credential may stand in a request, and what kind it is.

    Authorization: Bearer CREDENTIAL              at HTTP and at the handshake of a socket
    X-Phoenix-AuthToken: CREDENTIAL               what phoenix.js sends with `authToken`
    the headers of the setting `token_headers`    with or without "Bearer"
    the socket's parameter `token`                and those of the setting `token_params`

Cookies are never read: browsers send them along with requests that other sites make.

A request may carry the same credential in several places. If it carries different ones, it is
refused: whichever was taken, the client could have meant the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from multidict import MultiMapping

from phoenix_compat.server.auth.errors import UnauthorizedError
from phoenix_compat.server.auth.keys.api_keys import KEY_PREFIX

AUTHORIZATION: Final = "authorization"
AUTH_TOKEN: Final = "x-phoenix-authtoken"  # noqa: S105 - a header's name
TOKEN_PARAM: Final = "token"  # noqa: S105 - a parameter's name
MAX_CREDENTIAL_BYTES: Final = 8 * 1024
"""Longer ones are refused before anything is computed of them."""

_BEARER: Final = "bearer "
_VISIBLE: Final = re.compile(r"[!-~]+")


class CredentialForm(Enum):
    """The kinds of credentials."""

    KEY = "API keys"
    PHOENIX_TOKEN = "Phoenix.Token"  # noqa: S105 - a name
    JWT = "JWT"


_PHOENIX_HEADERS: Final = frozenset({"SFMyNTY", "SFMzODQ", "SFM1MTI", "XCP", "QTEyOEdDTQ"})
"""The first parts of the tokens of Plug.Crypto: HS256, HS384, HS512 and its two ciphers."""


def form_of(credential: str) -> CredentialForm:
    """What kind a credential is, by its beginning."""
    if credential.startswith(KEY_PREFIX):
        return CredentialForm.KEY
    if credential.partition(".")[0] in _PHOENIX_HEADERS:
        return CredentialForm.PHOENIX_TOKEN
    return CredentialForm.JWT


@dataclass(frozen=True, slots=True)
class CredentialPlaces:
    """The places to look for a credential in.

    Attributes:
        headers: the names of the headers, in lower case.
        params: the names of the socket's parameters.
    """

    headers: tuple[str, ...]
    params: tuple[str, ...]

    @classmethod
    def of(
        cls, token_headers: Sequence[str] = (), token_params: Sequence[str] = ()
    ) -> CredentialPlaces:
        """The standard places, and those that settings add."""
        headers = (AUTHORIZATION, AUTH_TOKEN, *(name.lower() for name in token_headers))
        return cls(
            headers=tuple(dict.fromkeys(headers)),
            params=tuple(dict.fromkeys((TOKEN_PARAM, *token_params))),
        )

    def in_headers(self, headers: Iterable[tuple[str, str]]) -> Iterable[str]:
        """The credentials in the headers of a request, given as pairs of name and value."""
        for name, value in headers:
            lowered = name.lower()
            if lowered in self.headers and (found := _in_header(lowered, value)) is not None:
                yield found

    def in_request(self, headers: MultiMapping[str]) -> list[str]:
        """The same of headers that are found by name, whatever the case of its letters."""
        return [
            found
            for name in self.headers
            if name in headers
            for value in headers.getall(name)
            if (found := _in_header(name, value)) is not None
        ]

    def in_params(self, params: Mapping[str, object]) -> Iterable[str]:
        """The credentials in a socket's parameters or in the payload of a join.

        Raises:
            UnauthorizedError: one is not a text.
        """
        for name in self.params:
            value = params.get(name)
            if value is None:
                continue
            if not isinstance(value, str):
                raise UnauthorizedError(f'the parameter "{name}" is not a text')
            # Apps send base64 in URLs without escaping it, and `+` is decoded to a space.
            yield value.replace(" ", "+")


def _in_header(name: str, value: str) -> str | None:
    """The credential in a header, which is named in lower case."""
    if value[: len(_BEARER)].lower() == _BEARER:
        return value[len(_BEARER) :].strip()
    # Basic and others are for a proxy, not for us.
    return None if name == AUTHORIZATION else value.strip()


def single(credentials: Iterable[str | None]) -> str | None:
    """The credential of a request, or None if it has none; empty texts are none.

    Raises:
        UnauthorizedError: there are different ones, or it cannot be a credential.
    """
    found = {credential for credential in credentials if credential}
    if not found:
        return None
    if len(found) > 1:
        raise UnauthorizedError("the request carries different credentials; send only one")
    (credential,) = found
    if len(credential) > MAX_CREDENTIAL_BYTES:
        raise UnauthorizedError(f"the credential is longer than {MAX_CREDENTIAL_BYTES} bytes")
    if not _VISIBLE.fullmatch(credential):
        raise UnauthorizedError("the credential has characters that no credential has")
    return credential
