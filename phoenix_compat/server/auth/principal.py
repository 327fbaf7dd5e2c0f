"""Who sent a request or opened a socket: an owner, and what that owner may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

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


TASK_SCOPES: Final = frozenset({Scope.CREATE, Scope.READ, Scope.CANCEL})
"""What users do with their own tasks; all that a JWT or a Phoenix.Token allows."""


class ScopeError(PhoenixCompatError):
    """The credential does not allow this.

    Attributes:
        scope: what it would need.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(f'the credential does not have the scope "{scope}"')
        self.scope = scope


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A client that was authenticated, or any client where authentication is off.

    Attributes:
        owner: whose tasks it creates and sees; "" where authentication is off.
        scopes: what it may do.
        expires_at_s: when its credential runs out, in seconds since 1970; None for never.
        via: the owner of the credential with which somebody acts for this owner; None if it is the
            owner's own.
    """

    owner: str
    scopes: frozenset[Scope]
    expires_at_s: float | None = None
    via: str | None = None

    def require(self, scope: Scope) -> None:
        """Check that it may do this; `operate` includes create, read and cancel of all tasks.

        Raises:
            ScopeError: it may not.
        """
        if not self.allows(scope):
            raise ScopeError(scope)

    def allows(self, scope: Scope) -> bool:
        """Whether it may do this; see `require`."""
        return scope in self.scopes or (scope in TASK_SCOPES and Scope.OPERATE in self.scopes)

    @property
    def visible_owner(self) -> str | None:
        """The owner whose tasks it sees, as the store takes it; None for the tasks of all."""
        return None if Scope.OPERATE in self.scopes else self.owner


ANYONE: Final = Principal(owner="", scopes=frozenset(Scope))
"""Every client where authentication is off and only this machine can connect."""
ANYONE_FROM_ANYWHERE: Final = Principal(owner="", scopes=TASK_SCOPES)
"""Every client without a key where authentication is off for clients from anywhere."""
