"""Who a credential is for, what it allows, and acting for others."""

from __future__ import annotations

import pytest

from phoenix_compat.server.auth.authenticator import OPEN, Authenticator, KeyVerifier
from phoenix_compat.server.auth.credential import CredentialForm
from phoenix_compat.server.auth.errors import BadOwnerError, UnauthorizedError
from phoenix_compat.server.auth.keys.api_keys import ApiKey
from phoenix_compat.server.auth.principal import (
    ANYONE_FROM_ANYWHERE,
    TASK_SCOPES,
    Principal,
    Scope,
    ScopeError,
)
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from tests.unit.server.auth.memory_keys import MemoryKeys

APP, BACKEND, ADMIN = "pck_app", "pck_backend", "pck_admin"
KEYS = MemoryKeys(
    {
        APP: ApiKey(name="app", scopes=frozenset({Scope.CREATE, Scope.READ})),
        BACKEND: ApiKey(name="backend", scopes=frozenset({Scope.CREATE, Scope.IMPERSONATE})),
        ADMIN: ApiKey(name="admin", scopes=frozenset({Scope.OPERATE, Scope.IMPERSONATE})),
    }
)
WITH_KEYS = Authenticator({CredentialForm.KEY: KeyVerifier(KEYS)})
FROM_ANYWHERE = Authenticator(
    {CredentialForm.KEY: KeyVerifier(KEYS)}, anonymous=ANYONE_FROM_ANYWHERE
)


async def test_a_key_has_its_owner_and_scopes() -> None:
    """Its tasks belong to `key:NAME`."""
    principal = await WITH_KEYS.authenticate(APP)

    assert principal == Principal(owner="key:app", scopes=frozenset({Scope.CREATE, Scope.READ}))


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (None, "no credential"),
        ("pck_other", "unknown or revoked"),
        ("eyJ.e30.x", "does not accept JWT"),
        ("SFMyNTY.a.b", "does not accept Phoenix.Token"),
    ],
)
async def test_others_are_refused_and_counted(credential: str | None, reason: str) -> None:
    """No credential, one that is unknown, and kinds that are not configured."""
    authenticator = Authenticator({CredentialForm.KEY: KeyVerifier(KEYS)})

    with pytest.raises(UnauthorizedError, match=reason):
        await authenticator.authenticate(credential)

    assert (authenticator.counts.accepted, authenticator.counts.refused) == (0, 1)


async def test_an_unavailable_store_is_not_a_refusal() -> None:
    """The key may be good, so the client is told to try again."""
    authenticator = Authenticator({CredentialForm.KEY: KeyVerifier(MemoryKeys({}, is_gone=True))})

    with pytest.raises(StoreUnavailableError):
        await authenticator.authenticate(APP)

    assert (authenticator.counts.unavailable, authenticator.counts.refused) == (1, 0)


async def test_a_key_may_act_for_a_user() -> None:
    """With the scopes about tasks that the key has, and no others."""
    user = await WITH_KEYS.authenticate(BACKEND, owner="user-17")
    all_scopes = await WITH_KEYS.authenticate(ADMIN, owner="user-17")

    scopes = frozenset({Scope.CREATE})
    assert user == Principal(owner="user-17", scopes=scopes, via="key:backend")
    assert all_scopes == Principal(owner="user-17", scopes=TASK_SCOPES, via="key:admin")
    assert user.visible_owner == all_scopes.visible_owner == "user-17"


@pytest.mark.parametrize("owner", ["", " ", "key:app", "key:", "a\x07", "x" * 256])
async def test_it_cannot_act_for_a_key(owner: str) -> None:
    """Keys have a name space of their own."""
    with pytest.raises(BadOwnerError):
        await WITH_KEYS.authenticate(BACKEND, owner=owner)


@pytest.mark.parametrize("owner", ["user-17", "", "key:app"])
@pytest.mark.parametrize("credential", [APP, None])
async def test_others_cannot_act_for_anybody(credential: str | None, owner: str) -> None:
    """Neither keys without the scope nor clients of a server for everyone."""
    with pytest.raises(ScopeError, match='"impersonate"'):
        await FROM_ANYWHERE.authenticate(credential, owner=owner)


async def test_without_authentication_this_machine_may_do_everything() -> None:
    """Whatever it sends."""
    found = [await OPEN.authenticate(one) for one in (None, "pck_x", "eyJ.e30.x")]

    assert {(one.owner, one.scopes) for one in found} == {("", frozenset(Scope))}
    assert not OPEN.is_on


async def test_a_server_for_everyone_allows_tasks_only() -> None:
    """What apps send beside keys is ignored, as before; a key has its own scopes, or is refused."""
    others = [await FROM_ANYWHERE.authenticate(one) for one in (None, "x", "SFMyNTY.a.b")]
    admin = await FROM_ANYWHERE.authenticate(ADMIN)

    assert {(one.owner, one.scopes) for one in others} == {("", TASK_SCOPES)}
    assert others[0].visible_owner == ""
    assert admin.owner == "key:admin"
    with pytest.raises(UnauthorizedError):
        await FROM_ANYWHERE.authenticate("pck_other")


def test_operate_includes_what_users_do() -> None:
    """But nothing else that it does not name."""
    operator = Principal(owner="key:o", scopes=frozenset({Scope.OPERATE}))

    assert {scope for scope in Scope if operator.allows(scope)} == {*TASK_SCOPES, Scope.OPERATE}
    assert operator.visible_owner is None
