"""Checks credentials: the one place for requests, handshakes, long-poll sessions and joins."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from msgspec.structs import replace

from phoenix_compat.background import BackgroundTask
from phoenix_compat.server.auth.credential import (
    CredentialForm,
    CredentialPlaces,
    form_of,
    single,
)
from phoenix_compat.server.auth.errors import UnauthorizedError
from phoenix_compat.server.auth.keys.api_keys import ApiKeys
from phoenix_compat.server.auth.owner import checked_owner
from phoenix_compat.server.auth.principal import ANYONE, TASK_SCOPES, Principal, Scope

OWNER_HEADER: Final = "x-owner"


class Verifier(Protocol):
    """Checks the credentials of one kind."""

    async def verify(self, credential: str) -> Principal:
        """Who presents this credential.

        Raises:
            UnauthorizedError: it is not accepted.
            AuthUnavailableError: it cannot be checked at the moment.
            StoreUnavailableError: the same.
        """

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks that it needs."""


@dataclass(slots=True)
class AuthCounts:
    """How often credentials were checked, with which outcome.

    Attributes:
        unavailable: those that could not be checked at the moment.
    """

    accepted: int = 0
    refused: int = 0
    unavailable: int = 0


class Authenticator:
    """Checks credentials; see the module docstring.

    Args:
        verifiers: by the kind of credential; credentials of other kinds are refused.
        anonymous: who a client without credential is; None refuses such clients. If it is given,
            credentials of other kinds than those of `verifiers` are ignored.
        places: where credentials may stand.

    Attributes:
        counts: see AuthCounts.
    """

    def __init__(
        self,
        verifiers: Mapping[CredentialForm, Verifier],
        *,
        anonymous: Principal | None = None,
        places: CredentialPlaces | None = None,
    ) -> None:
        self.places = places or CredentialPlaces.of()
        self.counts = AuthCounts()
        self._verifiers = verifiers
        self._anonymous = anonymous

    @property
    def is_on(self) -> bool:
        """Whether clients need a credential."""
        return self._anonymous is None

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks of the verifiers."""
        return tuple(task for one in self._verifiers.values() for task in one.background)

    def credential_of(self, carried: Iterable[str | None]) -> str | None:
        """The credential of a request, out of all that it carries; None if it has none.

        Where clients need none, those that are not checked are as if they were not there.

        Raises:
            UnauthorizedError: see `credential.single`.
        """
        if self._anonymous is None:
            return single(carried)
        return single(_those_of(self._verifiers, carried)) if self._verifiers else None

    async def authenticate(self, credential: str | None, *, owner: str | None = None) -> Principal:
        """Who presents this credential; every credential of every client is checked here.

        Args:
            credential: None if the client sent none.
            owner: for whom it wants to act; None for itself. See OWNER_HEADER.

        Raises:
            UnauthorizedError: there is none, or it is not accepted.
            ScopeError: it does not allow acting for others.
            BadOwnerError: nobody can act for this owner.
            AuthUnavailableError, StoreUnavailableError: it cannot be checked at the moment.
        """
        principal = await self._identify(credential)
        return principal if owner is None else _acting_for(owner, principal)

    async def _identify(self, credential: str | None) -> Principal:
        verifier = None if credential is None else self._verifiers.get(form_of(credential))
        if credential is None or verifier is None:
            if self._anonymous is not None:
                return self._anonymous
            self.counts.refused += 1
            raise UnauthorizedError(_reason(credential))
        try:
            principal = await verifier.verify(credential)
        except UnauthorizedError:
            self.counts.refused += 1
            raise
        except Exception:  # whatever kept it from checking is counted, and raised again
            self.counts.unavailable += 1
            raise
        self.counts.accepted += 1
        return principal


def _those_of(
    forms: Collection[CredentialForm], carried: Iterable[str | None]
) -> Iterable[str | None]:
    with contextlib.suppress(UnauthorizedError):  # one that cannot be read
        yield from (one for one in carried if one and form_of(one) in forms)


def _reason(credential: str | None) -> str:
    if credential is None:
        return "there is no credential; send it as Authorization: Bearer CREDENTIAL"
    return f"this server does not accept {form_of(credential).value} credentials"


def _acting_for(owner: str, principal: Principal) -> Principal:
    """The owner, with the scopes about tasks that the principal has."""
    principal.require(Scope.IMPERSONATE)
    scopes = frozenset(filter(principal.allows, TASK_SCOPES))
    return replace(principal, owner=checked_owner(owner), scopes=scopes, via=principal.owner)


class KeyVerifier:
    """Checks API keys."""

    background: tuple[BackgroundTask, ...] = ()

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def verify(self, credential: str) -> Principal:
        """See Verifier."""
        key = await self._api_keys.find(credential)
        if key is None:
            raise UnauthorizedError("the API key is unknown or revoked")
        return Principal(owner=key.owner, scopes=key.scopes)


class LentKeyVerifier:
    """Checks the keys that are lent to commands, where other API keys are not accepted."""

    background: tuple[BackgroundTask, ...] = ()

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def verify(self, credential: str) -> Principal:
        """See Verifier."""
        key = await self._api_keys.find(credential)
        if key is None or key.name:
            raise UnauthorizedError(_reason(credential))
        return Principal(owner=key.owner, scopes=key.scopes)


OPEN: Final = Authenticator({}, anonymous=ANYONE)
"""Accepts everybody, for everything."""
