"""What may be an owner: a short printable text that is not the name of a key's owner."""

from __future__ import annotations

from typing import Final

from phoenix_compat.server.auth.errors import BadOwnerError
from phoenix_compat.server.auth.keys.api_keys import OWNER_PREFIX

MAX_OWNER_BYTES: Final = 255
_MAX_INTEGER_BITS: Final = 128
"""The ids of databases have up to 64, UUIDs 128."""


def checked_owner(value: object) -> str:
    """The owner that a token, a map or a header names. An integer is taken as its digits.

    Raises:
        BadOwnerError: it cannot be an owner; the text says why, without quoting it.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise BadOwnerError("is too large a number")
        return str(value)
    if type(value) is not str:
        raise BadOwnerError("is not a string or an integer")
    if not value.strip():
        raise BadOwnerError("is empty")
    # No character that a terminal or a log would not show as itself. Surrogates are among them:
    # they stand for bytes that are not UTF-8.
    if not value.isprintable():
        raise BadOwnerError("has a character that cannot be printed")
    if len(value.encode()) > MAX_OWNER_BYTES:
        raise BadOwnerError(f"is longer than {MAX_OWNER_BYTES} bytes")
    if value.startswith(OWNER_PREFIX):
        raise BadOwnerError(f'begins with "{OWNER_PREFIX}", which is reserved for API keys')
    return value
