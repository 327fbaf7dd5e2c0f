"""Who may use the server: authentication and the visibility of tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from phoenix_compat.server.process.addresses import is_loopback_name
from phoenix_compat.server.process.settings.header_values import checked_url
from phoenix_compat.server.process.settings.part import SettingsPart, conflict

NO_AUTH: Final = "none"
KEYS: Final = "keys"
JWT: Final = "jwt"
PHOENIX_TOKEN: Final = "phoenix_token"  # noqa: S105 - the name of a kind
HMAC: Final = "HS256"
MIN_HMAC_SECRET_BYTES: Final = 32
"""RFC 7518, section 3.2: as many as the hash has."""

_KINDS: Final = (NO_AUTH, KEYS, JWT, PHOENIX_TOKEN)
_ALGORITHMS: Final = (HMAC, "RS256", "ES256")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_COOKIES: Final = frozenset({"cookie", "set-cookie"})
_PUBLIC_KEYS: Final = ("jwt_public_key_file", "jwt_jwks_url", "jwt_jwks_file")


def _one_of(words: tuple[str, ...]) -> AfterValidator:
    *most, last = words

    def check(word: str) -> str:
        if word not in words:
            raise ValueError(f"{word[:40]!r} must be {', '.join(most)} or {last}")
        return word

    return AfterValidator(check)


def _kinds_fit(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if not kinds:
        raise ValueError(f"must name at least one of {', '.join(_KINDS)}")
    if NO_AUTH in kinds and set(kinds) != {NO_AUTH}:
        raise ValueError(f'"{NO_AUTH}" cannot be combined with others; remove it')
    return tuple(dict.fromkeys(kinds))


def _is_header_name(name: str) -> str:
    if _HEADER_NAME.fullmatch(name) is None:
        raise ValueError(f"{name[:40]!r} is not the name of a header")
    if name.lower() in _COOKIES:
        raise ValueError("cookies cannot carry credentials: any web page can send them along")
    return name


def _is_long_enough(secret: SecretStr) -> SecretStr:
    size = len(secret.get_secret_value().encode(errors="surrogatepass"))
    if size < MIN_HMAC_SECRET_BYTES:
        raise ValueError(
            f"has {size} bytes; a secret for HS256 needs {MIN_HMAC_SECRET_BYTES} or more"
        )
    return secret


def _is_trusted_url(url: str) -> str:
    parts = urlsplit(checked_url(url))
    if parts.scheme != "https" and not is_loopback_name(parts.hostname or ""):
        raise ValueError("must begin with https://, because the keys decide who is let in")
    return url


def _is_path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("must not contain a null byte")
    return path


_Path = Annotated[Path, AfterValidator(_is_path)]


class AuthSettings(SettingsPart):
    """The part of `Settings` about this subject."""

    auth: Annotated[tuple[Annotated[str, _one_of(_KINDS)], ...], AfterValidator(_kinds_fit)] = (
        Field(
            (NO_AUTH,),
            description='the credentials that clients may use, as ["keys", "jwt"]: keys, jwt, '
            "phoenix_token, or none alone; see docs/authentication.md",
        )
    )
    task_visibility: Literal["owner", "link"] = Field(
        "owner",
        description="who may watch a task: owner, only its owner, or link, whoever knows its id",
    )
    insecure_no_auth: bool = Field(
        default=False,
        description="whether everyone who reaches the server may create, read and cancel tasks, "
        "without authentication",
    )
    token_params: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="further parameters of the socket that carry the credential, beside token, "
        'as ["userToken"]',
    )
    token_headers: tuple[Annotated[str, AfterValidator(_is_header_name)], ...] = Field(
        (),
        description="further headers that carry the credential, beside Authorization, "
        'as ["X-API-Key"]',
    )
    auth_at_join: bool = Field(
        default=False,
        description="whether clients may connect without a credential and send it as token with "
        "each join",
    )
    close_expired_sockets: bool = Field(
        default=False,
        description="whether a socket is closed, with 1001, when its token expires",
    )
    jwt_algorithms: tuple[Annotated[str, _one_of(_ALGORITHMS)], ...] = Field(
        (),
        description='the algorithms of JWTs that are accepted, as ["RS256"]: HS256, RS256, ES256',
    )
    jwt_secret: Annotated[SecretStr, AfterValidator(_is_long_enough)] | None = Field(
        None, description="the secret of JWTs with HS256, 32 bytes or more"
    )
    jwt_secret_file: _Path | None = Field(
        None,
        description="a file that contains this secret and nothing else; use it or jwt_secret, not "
        "both",
    )
    jwt_public_key_file: _Path | None = Field(
        None, description="a PEM file with the public key of JWTs with RS256 or ES256"
    )
    jwt_jwks_url: Annotated[str, AfterValidator(_is_trusted_url)] | None = Field(
        None,
        description="the address of the issuer's key set for RS256 and ES256, with https://",
    )
    jwt_jwks_file: _Path | None = Field(None, description="a file with such a key set")
    jwt_audience: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description='the audiences (aud) for which JWTs are accepted, as ["tasks"]; one is enough',
    )
    jwt_issuer: Annotated[str, Field(min_length=1)] | None = Field(
        None, description='the issuer (iss) that JWTs must have, as "https://example.eu.auth0.com/"'
    )
    jwt_owner_claim: Annotated[str, Field(min_length=1)] = Field(
        "sub", description="the claim of JWTs that names the owner of tasks"
    )
    phoenix_token_secret_key_base_file: _Path | None = Field(
        None, description="a file with the secret_key_base of the Phoenix backend, and nothing else"
    )
    phoenix_token_salt: str = Field(
        "user socket", description="the salt of its tokens, as in Phoenix.Token.sign"
    )
    phoenix_token_max_age_s: float = Field(
        1_209_600, gt=0, description="how old its tokens may be, in seconds"
    )
    phoenix_token_owner_field: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the field that names the owner, if the data of its tokens is a map"
    )

    @model_validator(mode="after")
    def _auth_fits_together(self) -> Self:
        if self.has_auth and self.insecure_no_auth:
            raise conflict(
                "{insecure_no_auth}: cannot be combined with {auth}; remove one of them",
                ("insecure_no_auth", "auth"),
            )
        missing = list(self._missing())
        if missing:
            raise conflict(f"{{auth}}: {'; '.join(missing)}", ("auth",))
        excluding = (("jwt_secret", "jwt_secret_file"), _PUBLIC_KEYS)
        for names in excluding:
            given = tuple(name for name in names if getattr(self, name) is not None)
            if len(given) > 1:
                text = f"{{{given[0]}}}: cannot be combined with {{{given[1]}}}"
                raise conflict(f"{text}; remove one of them", given[:2])
        return self

    @property
    def has_auth(self) -> bool:
        """Whether clients need a credential."""
        return NO_AUTH not in self.auth

    def _missing(self) -> Iterable[str]:
        """What the chosen kinds of authentication need and do not have."""
        if JWT in self.auth:
            yield from self._missing_for_jwt()
        if PHOENIX_TOKEN in self.auth and self.phoenix_token_secret_key_base_file is None:
            yield f'"{PHOENIX_TOKEN}" needs phoenix_token_secret_key_base_file'

    def _missing_for_jwt(self) -> Iterable[str]:
        has_secret = self.jwt_secret is not None or self.jwt_secret_file is not None
        has_public_key = any(getattr(self, name) is not None for name in _PUBLIC_KEYS)
        if not self.jwt_algorithms:
            yield f'"{JWT}" needs jwt_algorithms, such as ["RS256"]'
        if HMAC in self.jwt_algorithms and not has_secret:
            yield f'"{JWT}" with {HMAC} needs jwt_secret or jwt_secret_file'
        if set(self.jwt_algorithms) - {HMAC} and not has_public_key:
            yield f'"{JWT}" with RS256 or ES256 needs one of {", ".join(_PUBLIC_KEYS)}'
        # Some issuers sign the tokens of all their customers with the same keys.
        if self.jwt_jwks_url is not None and not self.jwt_audience and self.jwt_issuer is None:
            yield f'"{JWT}" with jwt_jwks_url needs jwt_audience or jwt_issuer'
