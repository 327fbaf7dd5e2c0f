"""The settings about authentication: their values, and what belongs together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.engine import check_settings
from phoenix_compat.server.process.exposed_files import exposed_secrets
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import load_configuration
from phoenix_compat.server.process.settings.setting_errors import SettingsError
from tests.unit.server.auth.jwt_builder import ec_key, jwk, key_set, numbered, pem, rsa_key

NO_FILE = Path("/dev/null")
SECRET = "a-canary-secret-of-more-than-32-bytes"
JWT = {"auth": ("jwt",), "jwt_algorithms": ("RS256",), "jwt_public_key_file": Path("key.pem")}
HMAC = {"auth": ("jwt",), "jwt_algorithms": ("HS256",)}
URL = "https://issuer.example/keys"


def refusal(**flags: Any) -> str:
    """The lines about settings that cannot work."""
    with pytest.raises(SettingsError) as refused:
        load_configuration(flags, NO_FILE, {})
    return str(refused.value)


def test_the_default_is_no_authentication() -> None:
    """So that the first minute needs no key."""
    settings = Settings()

    assert settings.auth == ("none",)
    assert not settings.has_auth


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"auth": []}, "--auth: must name at least one of none, keys, jwt, phoenix_token"),
        ({"auth": ["none", "keys"]}, '--auth: "none" cannot be combined with others'),
        ({"auth": ["key"]}, "--auth: 'key' must be none, keys, jwt or phoenix_token"),
        ({"auth": "keys"}, "--auth: must be a list of strings"),
        (
            {"auth": ["keys"], "insecure_no_auth": True},
            "--insecure-no-auth: cannot be combined with --auth",
        ),
        ({"auth": ["jwt"]}, '--auth: "jwt" needs jwt_algorithms'),
        ({"auth": ["jwt"], "jwt_algorithms": ["HS256"]}, "needs jwt_secret or jwt_secret_file"),
        (
            {"auth": ["jwt"], "jwt_algorithms": ["RS256"], "jwt_secret": SECRET},
            "needs one of jwt_public_key_file, jwt_jwks_url, jwt_jwks_file",
        ),
        (
            {"auth": ["jwt"], "jwt_algorithms": ["ES256", "HS256"], "jwt_jwks_file": "f"},
            "needs jwt_secret or jwt_secret_file",
        ),
        (
            {"auth": ["jwt"], "jwt_algorithms": ["RS256"], "jwt_jwks_url": URL},
            "needs jwt_audience or jwt_issuer",
        ),
        ({"auth": ["phoenix_token"]}, "needs phoenix_token_secret_key_base_file"),
        ({"jwt_algorithms": ["none"]}, "'none' must be HS256, RS256 or ES256"),
        ({"jwt_secret": "short"}, "--jwt-secret: has 5 bytes; a secret for HS256 needs 32 or more"),
        ({"jwt_secret": SECRET, "jwt_secret_file": "f"}, "--jwt-secret: cannot be combined with"),
        (
            {"jwt_jwks_file": "f", "jwt_public_key_file": "g"},
            "--jwt-public-key-file: cannot be combined with --jwt-jwks-file",
        ),
        ({"jwt_jwks_url": "http://issuer.example/keys"}, "must begin with https://"),
        ({"jwt_jwks_url": "https://user:pw@issuer.example/"}, "must not contain a user name"),
        ({"token_headers": ["Cookie"]}, "cookies cannot carry credentials"),
        ({"token_headers": ["X Key"]}, "is not the name of a header"),
        ({"phoenix_token_max_age_s": 0}, "above 0"),
    ],
)
def test_settings_that_cannot_work(flags: dict[str, Any], reason: str) -> None:
    """The line names the setting, what is missing or wrong, and no secret."""
    said = refusal(**flags)

    assert reason in said
    assert SECRET not in said


def test_several_missing_settings_are_named_at_once() -> None:
    """So that the operator does not go step by step."""
    said = refusal(auth=["jwt", "phoenix_token"], jwt_algorithms=["HS256", "RS256"])

    assert "jwt_secret" in said
    assert "jwt_jwks_url" in said
    assert "phoenix_token_secret_key_base_file" in said


def test_the_secret_is_not_shown() -> None:
    """`config show` masks it."""
    found = load_configuration({"jwt_secret": SECRET}, NO_FILE, {})

    assert SECRET not in found.shown("jwt_secret")
    assert SECRET not in repr(found)


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """As those of other settings."""
    path = tmp_path / "c.toml"
    path.write_text('jwt_secret_file = "secret"\nphoenix_token_secret_key_base_file = "base"\n')

    settings = load_configuration({}, path, {}).settings

    assert settings.jwt_secret_file == tmp_path / "secret"
    assert settings.phoenix_token_secret_key_base_file == tmp_path / "base"


@pytest.mark.parametrize(
    ("fields", "content", "reason"),
    numbered(
        [
            (JWT, None, "jwt_public_key_file: the file cannot be read"),
            (JWT, b"no key", "jwt_public_key_file: the file is not a public key"),
            (JWT, pem(ec_key()), "jwt_public_key_file: the key is for ES256"),
            (
                {**JWT, "jwt_public_key_file": None, "jwt_jwks_file": Path("key.pem")},
                b"{}",
                "jwt_jwks_file: the key set",
            ),
            (
                {
                    "auth": ("jwt",),
                    "jwt_algorithms": ("HS256",),
                    "jwt_secret_file": Path("key.pem"),
                },
                b"short\n",
                "jwt_secret_file: the secret in the file has 5 bytes and needs 32",
            ),
            (
                {
                    "auth": ("jwt",),
                    "jwt_algorithms": ("HS256",),
                    "jwt_secret_file": Path("key.pem"),
                },
                pem(rsa_key()),
                "jwt_secret_file: is a public key",
            ),
            (
                {
                    "auth": ("jwt",),
                    "jwt_algorithms": ("HS256",),
                    "jwt_secret": json.dumps(jwk(rsa_key(), "a")),
                },
                b"",
                "jwt_secret: is a public key",
            ),
            (
                {"auth": ("phoenix_token",), "phoenix_token_secret_key_base_file": Path("key.pem")},
                b"short",
                "phoenix_token_secret_key_base_file: the secret in the file has 5 bytes",
            ),
            (
                {"auth": ("phoenix_token",), "phoenix_token_secret_key_base_file": Path("key.pem")},
                b"x" * 300_000,
                "larger than 262144 bytes",
            ),
        ]
    ),
)
def test_files_that_cannot_be_used(
    tmp_path: Path, fields: dict[str, Any], content: bytes | None, reason: str
) -> None:
    """`check-config` reads them, and names the setting."""
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    given: dict[str, Any] = {
        name: path if isinstance(value, Path) else value for name, value in fields.items()
    }

    with pytest.raises(ConfigError, match=reason):
        check_settings(Settings(**given))


def test_good_files(tmp_path: Path) -> None:
    """A key set, a secret and a secret_key_base, each in its file."""
    for name, content in (
        ("set", key_set(jwk(rsa_key(), "a"))),
        ("secret", SECRET.encode() + b"\n"),
        ("base", b"x" * 64),
    ):
        (tmp_path / name).write_bytes(content)

    check_settings(
        Settings(
            auth=("keys", "jwt", "phoenix_token"),
            jwt_algorithms=("HS256", "RS256"),
            jwt_secret_file=tmp_path / "secret",
            jwt_jwks_file=tmp_path / "set",
            phoenix_token_secret_key_base_file=tmp_path / "base",
        )
    )


@pytest.mark.parametrize(
    ("line", "holder", "what"),
    [
        (f'jwt_secret = "{SECRET}"', "c.toml", "jwt_secret"),
        ('jwt_secret_file = "s"', "s", "jwt_secret"),
        ('phoenix_token_secret_key_base_file = "s"', "s", "phoenix_token_secret_key_base"),
    ],
)
def test_a_secret_that_every_user_may_read(
    tmp_path: Path, line: str, holder: str, what: str
) -> None:
    """`check-config` and `doctor` say which file, and what to do."""
    for name, text in (("c.toml", line), ("s", SECRET)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    found = load_configuration({}, tmp_path / "c.toml", {})
    assert exposed_secrets(found) == ()

    (tmp_path / holder).chmod(0o644)

    path = tmp_path / holder
    reason = f"{path} holds {what} and every user may read it"
    assert exposed_secrets(found) == (f"{reason}; chmod 640 {path}",)
