"""API keys: `pck_` and 43 characters of base64url, which are 256 random bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from phoenix_compat.server.auth.principal import Scope

KEY_PREFIX: Final = "pck_"
OWNER_PREFIX: Final = "key:"
"""The owners of keys; no other owner may begin with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key that was created and not revoked, without its secret.

    Attributes:
        name: given by the operator; its tasks belong to `key:<name>`.
    """

    name: str
    scopes: frozenset[Scope]

    @property
    def owner(self) -> str:
        """Whose tasks it creates and sees."""
        return OWNER_PREFIX + self.name


class ApiKeys(Protocol):
    """Looks keys up."""

    async def find(self, key: str) -> ApiKey | None:
        """The key with this text; None if it is unknown or revoked.

        Raises:
            StoreUnavailableError: it cannot be looked up at the moment.
        """
