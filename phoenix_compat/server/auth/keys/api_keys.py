"""API keys: `pck_` and 43 characters of base64url, which are 256 random bits.

Only the SHA-256 of a key is stored. A key is found by this hash, so the time of a lookup says
nothing about other keys; a slow hash is not needed, because nobody can guess 256 bits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.auth.principal import Scope

KEY_PREFIX: Final = "pck_"
OWNER_PREFIX: Final = "key:"
"""The owners of keys; no other owner may begin with it."""
MAX_NAME_CHARS: Final = 64

_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(re.escape(KEY_PREFIX) + "[A-Za-z0-9_-]{43}")
_NAME: Final = re.compile(f"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARS - 1}}}")


class ApiKeyError(PhoenixCompatError):
    """A key cannot be created, found or revoked; the text says why and what to do."""


class KeyNameTakenError(ApiKeyError):
    """There is a key with this name, and it is not revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key that was created and not revoked, without its secret.

    Attributes:
        name: given by the operator; its tasks belong to `key:<name>`. It is empty for a key that is
            lent to a command (`lent_keys`); tasks of such a key belong to nobody in particular.
    """

    name: str
    scopes: frozenset[Scope]

    @property
    def owner(self) -> str:
        """Whose tasks it creates and sees."""
        return OWNER_PREFIX + self.name if self.name else ""


class ApiKeys(Protocol):
    """Looks keys up."""

    async def find(self, key: str) -> ApiKey | None:
        """The key with this text; None if it is unknown or revoked.

        Raises:
            StoreUnavailableError: it cannot be looked up at the moment.
        """


def new_key() -> str:
    """A new random key."""
    return KEY_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def is_key(text: str) -> bool:
    """Whether a text has the form of a key."""
    return _KEY.fullmatch(text) is not None


def sha256_of(key: str) -> str:
    """What is stored of a key: its SHA-256, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def checked_name(name: str) -> str:
    """The name of a key, if it can be one.

    Raises:
        ApiKeyError: it cannot.
    """
    if _NAME.fullmatch(name) is None:
        raise ApiKeyError(
            f"the name of a key has 1 to {MAX_NAME_CHARS} letters, digits, dots, hyphens and "
            "underscores, and begins with a letter or a digit"
        )
    return name
