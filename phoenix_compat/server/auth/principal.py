"""Who sent a request or opened a socket: an owner, and what that owner may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from phoenix_compat.errors import PhoenixCompatError


class Scope(StrEnum):
    """One thing that a credential may allow."""

    CREATE = "create"
    READ = "read"
    CANCEL = "cancel"
    OPERATE = "operate"
    READ_METRICS = "read_metrics"
    PUBLISH = "publish"
    IMPERSONATE = "impersonate"


class ScopeError(PhoenixCompatError):
    """The credential does not allow this.

    Attributes:
        scope: what it would need.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(f'the credential does not have the scope "{scope}"')
        self.scope = scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A client that was authenticated, or any client where authentication is off.

    Attributes:
        owner: whose tasks it creates and sees; "" where authentication is off.
        scopes: what it may do.
        expires_at_s: when its credential runs out, in seconds since 1970; None for never.
    """

    owner: str
    scopes: frozenset[Scope]
    expires_at_s: float | None = None

    def require(self, scope: Scope) -> None:
        """Check that it may do this; `operate` includes create, read and cancel of all tasks.

        Raises:
            ScopeError: it may not.
        """
        if scope not in self.scopes:
            raise ScopeError(scope)

    @property
    def visible_owner(self) -> str | None:
        """The owner whose tasks it sees, as the store takes it; None for the tasks of all."""
        return None if Scope.OPERATE in self.scopes else self.owner


ANYONE: Final = Principal(owner="", scopes=frozenset(Scope))
"""Every client where authentication is off."""
