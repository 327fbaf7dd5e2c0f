"""Builds the authenticator from the settings."""

# ruff: noqa: PLC0415 - PyJWT and cryptography take 30 ms and some memory; most servers need neither

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.token import MIN_SECRET_BYTES
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.auth.authenticator import (
    OPEN,
    Authenticator,
    KeyVerifier,
    LentKeyVerifier,
    Verifier,
)
from phoenix_compat.server.auth.credential import CredentialForm, CredentialPlaces
from phoenix_compat.server.auth.keys.api_keys import ApiKey, ApiKeys
from phoenix_compat.server.auth.phoenix_token import PhoenixTokenVerifier
from phoenix_compat.server.auth.principal import ANYONE_FROM_ANYWHERE
from phoenix_compat.server.process.settings.auth import (
    HMAC,
    JWT,
    KEYS,
    MIN_HMAC_SECRET_BYTES,
    PHOENIX_TOKEN,
)

if TYPE_CHECKING:
    from phoenix_compat.server.auth.jwt.jwt_keys import PublicKeySource
    from phoenix_compat.server.auth.jwt.jwt_verifier import JwtRules
    from phoenix_compat.server.process.settings import Settings

_MAX_FILE_BYTES: Final = 256 * 1024


class NoKeys:
    """A server without API keys."""

    async def find(self, key: str) -> ApiKey | None:
        """See ApiKeys."""
        del key
        return None


@asynccontextmanager
async def open_authenticator(settings: Settings, api_keys: ApiKeys) -> AsyncIterator[Authenticator]:
    """The authenticator of a server; its background tasks end with the block.

    Raises:
        ConfigError: a file or a secret of the settings cannot be used.
    """
    places = CredentialPlaces.of(settings.token_headers, settings.token_params)
    keys = KeyVerifier(api_keys)
    if not settings.has_auth:
        yield (
            # A key still allows more than others may do.
            Authenticator({CredentialForm.KEY: keys}, anonymous=ANYONE_FROM_ANYWHERE, places=places)
            if settings.insecure_no_auth
            else OPEN
        )
        return
    live_secrets.register(*await asyncio.to_thread(auth_secrets, settings))
    async with AsyncExitStack() as stack:
        verifiers: dict[CredentialForm, Verifier] = {
            CredentialForm.KEY: keys if KEYS in settings.auth else LentKeyVerifier(api_keys)
        }
        if PHOENIX_TOKEN in settings.auth:
            verifiers[CredentialForm.PHOENIX_TOKEN] = await asyncio.to_thread(
                _phoenix_token_verifier, settings
            )
        if JWT in settings.auth:
            verifiers[CredentialForm.JWT] = await _jwt_verifier(settings, stack)
        yield Authenticator(verifiers, places=places)


def check_auth(settings: Settings) -> None:
    """Check the files and secrets that the settings name; blocking.

    Raises:
        ConfigError: one cannot be used; the text names the setting.
    """
    if PHOENIX_TOKEN in settings.auth:
        _phoenix_token_verifier(settings)
    if JWT in settings.auth:
        _jwt_rules(settings)
        _key_of_file(settings)


def auth_secrets(settings: Settings) -> tuple[str, ...]:
    """The secrets of authentication, which no log may show; blocking.

    Raises:
        ConfigError: a file cannot be read.
    """
    found = named_auth_secrets(settings).values()
    return tuple(secret.decode(errors="replace") for secret in found)


def named_auth_secrets(settings: Settings) -> Mapping[str, bytes]:
    """The same secrets, by the names of their settings; blocking.

    Raises:
        ConfigError: a file cannot be read.
    """
    found: dict[str, bytes] = {}
    if JWT in settings.auth and (secret := _jwt_secret(settings)) is not None:
        found["jwt_secret" if settings.jwt_secret else "jwt_secret_file"] = secret
    if PHOENIX_TOKEN in settings.auth:
        found["phoenix_token_secret_key_base_file"] = _secret_key_base(settings)
    return found


def _phoenix_token_verifier(settings: Settings) -> PhoenixTokenVerifier:
    return PhoenixTokenVerifier(
        secret_key_base=_secret_key_base(settings),
        salt=settings.phoenix_token_salt,
        max_age_s=settings.phoenix_token_max_age_s,
        owner_field=settings.phoenix_token_owner_field,
    )


def _secret_key_base(settings: Settings) -> bytes:
    name = "phoenix_token_secret_key_base_file"
    return _secret_in(settings, name, MIN_SECRET_BYTES)


async def _jwt_verifier(settings: Settings, stack: AsyncExitStack) -> Verifier:
    from phoenix_compat.server.auth.jwt.jwks_url import JwksUrl
    from phoenix_compat.server.auth.jwt.jwt_verifier import JwtVerifier

    rules = await asyncio.to_thread(_jwt_rules, settings)
    source: PublicKeySource | None
    if settings.jwt_jwks_url is not None:
        source = await stack.enter_async_context(JwksUrl(settings.jwt_jwks_url))
    else:
        source = await asyncio.to_thread(_key_of_file, settings)
    return JwtVerifier(rules, source)


def _jwt_rules(settings: Settings) -> JwtRules:
    from phoenix_compat.server.auth.jwt.jwt_verifier import JwtRules

    return JwtRules(
        algorithms=settings.jwt_algorithms,
        secret=_jwt_secret(settings),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        owner_claim=settings.jwt_owner_claim,
    )


def _jwt_secret(settings: Settings) -> bytes | None:
    if HMAC not in settings.jwt_algorithms:
        return None
    name, secret = "jwt_secret", b""
    if settings.jwt_secret is not None:
        secret = settings.jwt_secret.get_secret_value().encode(errors="surrogatepass")
    else:
        name = "jwt_secret_file"
        secret = _secret_in(settings, name, MIN_HMAC_SECRET_BYTES)
    from jwt import InvalidKeyError

    from phoenix_compat.server.auth.jwt.jwt_verifier import checked_secret

    try:
        return checked_secret(secret)
    except InvalidKeyError as error:
        raise ConfigError(
            f"{name}: is a public key, a certificate or a key set, which is not secret; give the "
            "secret of HS256"
        ) from error


def _key_of_file(settings: Settings) -> PublicKeySource | None:
    from phoenix_compat.server.auth.jwt.jwt_keys import SingleKey, key_of_pem, key_set_of

    def single_key(data: bytes) -> SingleKey:
        known = key_of_pem(data)
        if known.algorithm not in settings.jwt_algorithms:
            raise ConfigError(
                f"the key is for {known.algorithm}, which jwt_algorithms does not name"
            )
        return SingleKey(known)

    loaders: tuple[tuple[str, Path | None, Callable[[bytes], PublicKeySource]], ...] = (
        ("jwt_public_key_file", settings.jwt_public_key_file, single_key),
        ("jwt_jwks_file", settings.jwt_jwks_file, key_set_of),
    )
    for name, path, load in loaders:
        if path is not None:
            data = _content(settings, name, path)
            try:
                return load(data)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from error
    return None


def _secret_in(settings: Settings, name: str, min_bytes: int) -> bytes:
    """The secret in the file that a setting names, without white space around it."""
    path: Path | None = getattr(settings, name)
    if path is None:
        raise ConfigError(f"{name}: is missing; give the path of a file that holds the secret")
    secret = _content(settings, name, path).strip()
    if len(secret) < min_bytes:
        raise ConfigError(
            f"{name}: the secret in the file has {len(secret)} bytes and needs {min_bytes} or more"
        )
    return secret


def _content(settings: Settings, name: str, path: Path) -> bytes:
    content = settings.contents.get(name)
    if content is not None and len(content) <= _MAX_FILE_BYTES:
        return content
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        # Not the path, which may be the secret itself by mistake.
        raise ConfigError(
            f"{name}: the file cannot be read: {error.strerror}; "
            "correct the path or its permissions"
        ) from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(
            f"{name}: the file is larger than {_MAX_FILE_BYTES} bytes; is it another?"
        )
    return data
