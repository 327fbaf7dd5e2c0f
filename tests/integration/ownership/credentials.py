"""Credentials of every kind for owners in tests, and what a server needs to accept them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phoenix_compat.server.auth.authenticator import Authenticator, KeyVerifier
from phoenix_compat.server.auth.credential import CredentialForm
from phoenix_compat.server.auth.jwt.jwt_verifier import JwtVerifier
from phoenix_compat.server.auth.keys.api_keys import KEY_PREFIX, OWNER_PREFIX, ApiKey
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.phoenix_token import PhoenixTokenVerifier
from phoenix_compat.server.auth.principal import TASK_SCOPES, Scope
from phoenix_compat.server.engine import schema_sql
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.token import Tokens
from tests.unit.protocol.token.token_vectors import SECRET as SECRET_KEY_BASE
from tests.unit.server.auth.jwt_builder import AUDIENCE, HMAC_RULES, ISSUER, SECRET, token
from tests.unit.server.auth.memory_keys import MemoryKeys

_BACKEND: Final = "backend"
_VALID_S: Final = 6 * 3_600
_SALT: Final = "user socket"

_SCHEMA: Final = schema_sql()

_made_keys: Final[dict[str, ApiKey]] = {}
"""All that `key_of` has returned."""


@dataclass(frozen=True)
class Sender:
    """A client that can prove who it is.

    Attributes:
        is_backend: whether the credential is that of a backend, which names the owner.
    """

    owner: str
    credential: str
    is_backend: bool = False

    @property
    def owner_header(self) -> Mapping[str, str]:
        """The header that names the owner, of a backend."""
        return {"X-Owner": self.owner} if self.is_backend else {}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its requests."""
        return {"Authorization": f"Bearer {self.credential}", **self.owner_header}


def scopes_of(names: str) -> frozenset[Scope]:
    """Scopes, separated by commas."""
    return frozenset(map(Scope, filter(None, names.split(","))))


def key_of(name: str, scopes: frozenset[Scope] = TASK_SCOPES) -> str:
    """The API key with this name and these scopes; always the same."""
    digest = hashlib.sha256(f"{name} {sorted(scopes)}".encode()).digest()
    key = KEY_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")
    _made_keys[key] = ApiKey(name=name, scopes=scopes)
    return key


def by_key(owner: str, scopes: frozenset[Scope] = TASK_SCOPES) -> Sender:
    """The owner `key:NAME`, with its key."""
    return Sender(owner, key_of(owner.removeprefix(OWNER_PREFIX), scopes))


def by_jwt(owner: str) -> Sender:
    """An owner with a token of the sign-in service, valid for longer than any test run."""
    return Sender(owner, token(sub=owner, exp=int(time.time()) + _VALID_S))


def by_phoenix_token(owner: str) -> Sender:
    """An owner with a token of the old backend."""
    return Sender(owner, Tokens(SECRET_KEY_BASE).sign(_SALT, owner))


def by_backend(owner: str, scopes: frozenset[Scope] = TASK_SCOPES) -> Sender:
    """An owner for whom a backend acts."""
    return Sender(owner, key_of(_BACKEND, scopes | {Scope.IMPERSONATE}), is_backend=True)


def sender(owner: str, scopes: str | None = None) -> Sender:
    """An owner with exactly these scopes, by whatever credential gives them.

    Args:
        scopes: None for those of an app.
    """
    given = TASK_SCOPES if scopes is None else scopes_of(scopes)
    if owner.startswith(OWNER_PREFIX):
        return by_key(owner, given)
    return by_jwt(owner) if scopes is None else by_backend(owner, given)


def authenticator() -> Authenticator:
    """An authenticator for all of the above."""
    return Authenticator(
        {
            CredentialForm.KEY: KeyVerifier(MemoryKeys(_made_keys)),
            CredentialForm.JWT: JwtVerifier(HMAC_RULES, None),
            CredentialForm.PHOENIX_TOKEN: PhoenixTokenVerifier(
                secret_key_base=SECRET_KEY_BASE.encode(), salt=_SALT, max_age_s=float(_VALID_S)
            ),
        }
    )


def auth_settings(folder: Path) -> dict[str, Any]:
    """The settings with which a server takes all of the above."""
    base = folder / "secret_key_base"
    base.write_text(SECRET_KEY_BASE)
    return {
        "auth": ("keys", "jwt", "phoenix_token"),
        "jwt_algorithms": ("HS256",),
        "jwt_secret": SECRET.decode(),
        "jwt_audience": (AUDIENCE,),
        "jwt_issuer": ISSUER,
        "phoenix_token_secret_key_base_file": base,
        "phoenix_token_salt": _SALT,
    }


async def store_keys(
    database: Path, *names: str, more: Mapping[str, frozenset[Scope]] | None = None
) -> None:
    """Create the keys of these names and of the backend in a database that no server has open.

    Args:
        more: further names, with their scopes.
    """
    async with await open_task_store(database, _SCHEMA) as store:
        keys = KeyStore(store)
        await keys.start()
        for name in names:
            await keys.create(name, TASK_SCOPES, key_of(name))
        for name, scopes in (more or {}).items():
            await keys.create(name, scopes, key_of(name, scopes))
        acting = TASK_SCOPES | {Scope.IMPERSONATE}
        await keys.create(_BACKEND, acting, key_of(_BACKEND, acting))
        await keys.stop()
