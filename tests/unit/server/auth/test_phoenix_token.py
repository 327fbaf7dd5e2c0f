"""Phoenix.Token: those that Phoenix made, and those that are not accepted."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.erlang_term import Atom
from phoenix_compat.server.auth.errors import UnauthorizedError
from phoenix_compat.server.auth.phoenix_token import PhoenixTokenVerifier
from phoenix_compat.server.auth.principal import TASK_SCOPES
from phoenix_compat.token import Tokens
from tests.unit.protocol.token.token_vectors import BY_NAME, SECRET, VECTORS

NOW_S = 1_800_000_000.0
AGE_S = 1_209_600.0
SALT = "user socket"
TOKENS = Tokens(SECRET, now_ms=lambda: int(NOW_S * 1000))


def verifier(**changes: Any) -> PhoenixTokenVerifier:
    """A verifier of the backend's tokens, at NOW_S unless that is changed."""
    options: dict[str, Any] = {
        "secret_key_base": SECRET.encode(),
        "salt": SALT,
        "max_age_s": AGE_S,
        "now_s": lambda: NOW_S,
    }
    return PhoenixTokenVerifier(**options | changes)


async def refusal(token: str, **changes: Any) -> str:
    """The reason for which a token is refused."""
    with pytest.raises(UnauthorizedError) as refused:
        await verifier(**changes).verify(token)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("int", "99"),
        ("str", "user-ü"),
        ("map", "5"),
        ("uuid", "6f1c2b1e-3c2b-4d7e-9a51-1f5d3a0c9e11"),
        ("legacy2", "3"),
        ("signedat", "1"),
        ("maxageinf", "1"),
    ],
)
async def test_tokens_of_phoenix(name: str, owner: str) -> None:
    """Strings and integers name the owner; of a map, its field does."""
    assert VECTORS["salt"] == SALT

    principal = await verifier(max_age_s=1e10, owner_field="user_id").verify(BY_NAME[name]["token"])

    assert (principal.owner, principal.scopes) == (owner, TASK_SCOPES)


async def test_an_encrypted_token() -> None:
    """`Phoenix.Token.encrypt` with the same salt is read too."""
    assert (await verifier().verify(TOKENS.encrypt(SALT, "user-17"))).owner == "user-17"


@pytest.mark.parametrize("make", [TOKENS.sign, TOKENS.encrypt], ids=["signed", "encrypted"])
async def test_it_expires_by_the_age_of_the_settings(make: Any) -> None:
    """As with `max_age` of `verify` in Phoenix, whatever age the token itself has."""
    token = make(SALT, 17, signed_at_s=NOW_S - AGE_S + 10, max_age_s=1)

    assert (await verifier().verify(token)).expires_at_s == NOW_S + 10
    assert await refusal(token, now_s=lambda: NOW_S + 11) == "the token has expired"


@pytest.mark.parametrize(
    "data",
    [
        *(None, True, 1.5, "", b"\xff", ["a"], ("a",), Atom("admin"), "key:admin", "x" * 300, "\n"),
        *({}, {"user_id": None}, {"user_id": {"id": 1}}, {"id": 5}, 2**2000),
    ],
    ids=str,
)
async def test_data_that_names_no_owner(data: Any) -> None:
    """Other types, reserved names, and maps without the field."""
    assert "data" in await refusal(TOKENS.sign(SALT, data), owner_field="user_id")


async def test_a_map_needs_the_setting() -> None:
    """The text names the setting."""
    assert "phoenix_token_owner_field" in await refusal(BY_NAME["map"]["token"], max_age_s=1e10)


async def test_tokens_of_others() -> None:
    """Another secret, another salt, the future, changed and cut ones."""
    good = TOKENS.sign(SALT, "user-17")
    header, payload, signature = good.split(".")
    changed = base64.urlsafe_b64encode(base64.urlsafe_b64decode(payload + "==")[:-1] + b"\x02")
    bad = [
        Tokens("x" * 64, now_ms=lambda: int(NOW_S * 1000)).sign(SALT, "user-17"),
        TOKENS.sign("other", "user-17"),
        TOKENS.sign(SALT, "user-17", signed_at_s=NOW_S + 60),
        TOKENS.sign(SALT, "user-17", signed_at_s=NOW_S + 60, max_age_s=math.inf),
        f"{header}.{changed.decode().rstrip('=')}.{signature}",
        f"{header}.{payload}",
        f"SFMzODQ.{payload}.{signature}",
        f"XCP.{payload}",
        "SFMyNTY..",
        "QTEyOEdDTQ.a.b.c.d",
        good[:-1],
        f"{good}=",
    ]

    reasons = {await refusal(token) for token in bad}

    assert reasons == {"the token was not made with this secret and salt"}


def test_a_short_secret_is_a_config_error() -> None:
    """As in Phoenix."""
    with pytest.raises(ConfigError, match="secret_key_base has 5 bytes"):
        verifier(secret_key_base=b"short")
