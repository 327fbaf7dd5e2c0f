"""The doctor's checks of security: each has a line that says what to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.operations.doctor.net import check_public_url
from phoenix_compat.operations.doctor.security import (
    check_authentication,
    check_client_addresses,
    check_operator_keys,
    check_secrets,
    check_spending,
    check_tls,
)
from phoenix_compat.server.process.settings import Settings
from tests.conftest import Serve
from tests.integration.operations.commands import run
from tests.integration.task_server import product, settings_for

TOKEN = {"replicate_api_token": "r8_mine"}
KEYS: dict[str, Any] = {"auth": ("keys",)}
PUBLIC: dict[str, Any] = {**KEYS, "public_url": "https://tasks.example.com"}
HS256: dict[str, Any] = {"auth": ("jwt",), "jwt_algorithms": ("HS256",)}
STRONG = "nJ8vU2mQ0sXk4Wf7Lz9cRy1TgB5hDe3aPi6oKqVt"
WEAK = "super-secret-jwt-token-with-at-least-32-characters-long"


@pytest.mark.parametrize(
    ("fields", "status", "remedy"),
    [
        ({}, "ok", ""),
        ({"host": "0.0.0.0"}, "fail", 'configure auth = ["keys"]'),  # noqa: S104 - not listened on
        ({"public_url": "https://tasks.example.com"}, "fail", "keys create"),
        ({"insecure_no_auth": True}, "warn", 'configure auth = ["keys"]'),
        (PUBLIC, "fail", "keys create"),
    ],
)
def test_a_server_that_is_open(fields: dict[str, Any], status: str, remedy: str) -> None:
    """Without authentication the line fails where the server would not start, and warns where it
    was asked for."""
    finding = check_authentication(Settings(**fields))

    assert finding.status == status
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, "ok", "tasks cost nothing"),
        (TOKEN, "warn", "none"),
        ({**TOKEN, "total_usd_per_day": 5.0}, "ok", "total_usd_per_day 5"),
        ({**TOKEN, "total_usd_per_day": 0.0}, "ok", "total_usd_per_day 0"),
        ({**TOKEN, "owner_tasks_per_month": 30}, "ok", "owner_tasks_per_month 30"),
        ({**TOKEN, **HS256, "jwt_secret": STRONG, "owner_usd_per_day": 1.0}, "warn", "sign up"),
        (
            {**TOKEN, "total_usd_per_day": 5.0, "allow_unpriced_models": True},
            "warn",
            "allow_unpriced_models",
        ),
        (
            {
                **TOKEN,
                "total_usd_per_day": 5.0,
                "total_tasks_per_day": 100,
                "allow_unpriced_models": True,
            },
            "ok",
            "total_tasks_per_day 100",
        ),
    ],
)
def test_a_server_that_may_spend_without_limit(
    fields: dict[str, Any], status: str, text: str
) -> None:
    """With a token there should be a limit, and one that covers every owner and every model."""
    finding = check_spending(Settings(**fields))

    assert (finding.status, bool(finding.remedy)) == (status, status == "warn")
    assert text in finding.detail


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, "ok", ""),
        ({"public_url": "http://127.0.0.1:4000"}, "ok", ""),
        ({**PUBLIC, "public_url": "http://tasks.example.com"}, "warn", "public_url"),
        ({**KEYS, "public_url": "http://192.168.1.5:4000"}, "warn", "public_url"),
        ({**KEYS, "host": "0.0.0.0"}, "warn", 'host = "127.0.0.1"'),  # noqa: S104 - not listened on
        ({**PUBLIC, "host": "192.0.2.1"}, "warn", "trusted_proxies"),
        ({**PUBLIC, "host": "192.0.2.1", "trusted_proxies": ("127.0.0.1",)}, "warn", "firewall"),
        ({**PUBLIC, "host": "192.0.2.1", "trusted_proxies": ("192.0.2.9",)}, "ok", ""),
        ({**PUBLIC, "unix_socket": "/run/tasks.sock"}, "ok", ""),
        (PUBLIC, "ok", ""),
    ],
)
def test_a_server_without_tls_in_front(fields: dict[str, Any], status: str, text: str) -> None:
    """Credentials should not cross a network unencrypted."""
    finding = check_tls(Settings(**fields))

    assert finding.status == status, finding
    assert text in finding.remedy


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({}, None),
        ({"public_url": "http://localhost:4000"}, None),
        (PUBLIC, 'trusted_proxies = ["127.0.0.1"]'),
        ({**PUBLIC, "trusted_proxies": ("10.0.0.0/8",)}, '["127.0.0.1", "10.0.0.0/8"]'),
        ({**PUBLIC, "trusted_proxies": ("127.0.0.0/8",)}, None),
        ({**PUBLIC, "trusted_proxies": ("::1",)}, None),
        ({**PUBLIC, "unix_socket": "/run/tasks.sock"}, 'trusted_proxies = ["unix"]'),
        ({**PUBLIC, "unix_socket": "/run/t.sock", "trusted_proxies": ("127.0.0.1",)}, '"unix"'),
        ({**PUBLIC, "unix_socket": "/run/tasks.sock", "trusted_proxies": ("unix",)}, None),
        ({**PUBLIC, "host": "192.0.2.1"}, "name the proxy's address"),
        ({**PUBLIC, "host": "192.0.2.1", "trusted_proxies": ("192.0.2.9",)}, None),
    ],
)
def test_a_proxy_that_is_not_trusted(fields: dict[str, Any], remedy: str | None) -> None:
    """Behind a proxy that is not named, rate limits cannot tell clients apart."""
    finding = check_client_addresses(Settings(**fields))

    assert finding.status == ("ok" if remedy is None else "warn"), finding
    assert (remedy or "") in finding.remedy


@pytest.mark.parametrize(("secret", "status"), [(WEAK, "warn"), (STRONG, "ok")])
@pytest.mark.parametrize("kind", ["value", "file", "phoenix_token"])
def test_a_secret_that_can_be_guessed(tmp_path: Path, kind: str, secret: str, status: str) -> None:
    """The setting with the secret is named, but no part of the secret."""
    file = tmp_path / "secret"
    file.write_text(f"{secret * 2}\n" if kind == "phoenix_token" else f"{secret}\n")
    fields: dict[str, dict[str, Any]] = {
        "value": {**HS256, "jwt_secret": secret},
        "file": {**HS256, "jwt_secret_file": file},
        "phoenix_token": {
            "auth": ("phoenix_token",),
            "phoenix_token_secret_key_base_file": file,
        },
    }
    setting = list(fields[kind])[-1]

    finding = check_secrets(Settings(**fields[kind]))

    assert finding.status == status
    assert (setting in finding.detail) == (status == "warn")
    assert secret not in str(finding)


def test_a_secret_that_cannot_be_read_is_left_to_the_line_config(tmp_path: Path) -> None:
    """The same problem is not reported twice."""
    settings = Settings(**HS256, jwt_secret_file=tmp_path / "missing")

    assert check_secrets(settings).detail == "not checked, because the settings are not valid"


async def test_a_server_with_a_key(tmp_path: Path) -> None:
    """With a key in its database the server that is open to the internet is fine."""
    data = ("--data-dir", str(tmp_path))
    done = await run("-m", "phoenix_compat", "keys", "create", "phone", "--scope", "read", *data)
    assert done.code == 0, done.err

    settings = Settings(**PUBLIC, data_dir=tmp_path)
    finding = await asyncio.to_thread(check_authentication, settings)

    assert (finding.status, finding.remedy) == ("ok", "")


async def test_an_operator_key_that_nobody_uses(tmp_path: Path) -> None:
    """A key with the scope operate is named when it has not been used for 90 days; other keys and
    revoked ones are not."""
    data = ("--data-dir", str(tmp_path))
    keys = ("-m", "phoenix_compat", "keys")
    async with product(settings_for(tmp_path)):
        pass
    for name, scope in (("old", "operate,read"), ("gone", "operate"), ("phone", "read")):
        done = await run(*keys, "create", name, "--scope", scope, *data)
        assert done.code == 0, done.err
    await run(*keys, "revoke", "gone", *data)

    now = await asyncio.to_thread(check_operator_keys, Settings(data_dir=tmp_path))
    later = await asyncio.to_thread(
        check_operator_keys, Settings(data_dir=tmp_path), datetime(2126, 1, 5, tzinfo=UTC)
    )
    none = await asyncio.to_thread(check_operator_keys, Settings(data_dir=tmp_path / "none"))

    assert (now.status, none.status) == ("ok", "ok")
    assert later.status == "warn"
    assert later.detail.endswith("unused for 90 days: old")
    assert "keys revoke" in later.remedy


async def test_a_public_url_with_authentication(tmp_path: Path) -> None:
    """Without a credential the way to the server and the origin are checked; with a key, a
    websocket is opened; a key that is refused is named as the reason."""
    data = ("--data-dir", str(tmp_path))
    key = (await run("-m", "phoenix_compat", "keys", "create", "phone", *data)).out.strip()
    async with product(settings_for(tmp_path, **KEYS)) as client:
        own = settings_for(tmp_path, **KEYS, public_url=client.url)
        other = settings_for(
            tmp_path, **KEYS, public_url=client.url.replace("127.0.0.1", "localhost")
        )

        without = await check_public_url(own)
        with_key = await check_public_url(own, key)
        wrong = await check_public_url(own, key[:-1] + "x")
        by_name = await check_public_url(other)

    assert (without.status, without.detail.startswith(f"{own.public_url} leads to")) == ("ok", True)
    assert (with_key.status, with_key.detail) == (
        "ok",
        f"a websocket through {own.public_url} works",
    )
    assert (wrong.status, "refuses the credential" in wrong.detail) == ("fail", True)
    assert by_name.status == "ok"


async def test_a_refused_origin_with_authentication(serve: Serve) -> None:
    """If pages of the public URL are refused, the remedy is about the origin."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=403)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)

    finding = await check_public_url(Settings(**KEYS, public_url=await serve(app)))

    assert finding.status == "fail"
    assert "the origin is refused" in finding.remedy


async def test_the_key_file_of_the_command(tmp_path: Path) -> None:
    """A file without a key is an error, and a key is in no output."""
    empty, key = tmp_path / "empty", tmp_path / "key"
    empty.touch()
    key.write_text("pck_not-a-real-key-0123456789\n")
    command = ("-m", "phoenix_compat", "doctor", "--data-dir", str(tmp_path / "data"))

    refused = await run(*command, "--key-file", str(empty), PHOENIX_COMPAT_PORT="0")
    used = await run(
        *(*command, "--key-file", str(key)),
        PHOENIX_COMPAT_PORT="0",
        PUBLIC_URL="http://127.0.0.1:1",
    )

    assert (refused.code, used.code) == (2, 1)
    assert "--key-file: must hold one API key" in refused.err
    assert "pck_" not in used.out + used.err


async def test_the_lines_of_the_command(tmp_path: Path) -> None:
    """`doctor` has a line for each; warnings alone leave the exit code 0."""
    command = ("-m", "phoenix_compat", "doctor", "--data-dir", str(tmp_path))

    done = await run(
        *command,
        PHOENIX_COMPAT_PORT="0",
        PHOENIX_COMPAT_AUTH='["jwt"]',
        PHOENIX_COMPAT_JWT_ALGORITHMS='["HS256"]',
        PHOENIX_COMPAT_JWT_SECRET=WEAK,
        PHOENIX_COMPAT_HOST="0.0.0.0",  # noqa: S104 - not listened on
    )

    assert done.code == 0, done.out + done.err
    assert "ok    authentication: clients need a credential: jwt" in done.out
    assert "warn  secrets: the secret in jwt_secret looks weak" in done.out
    assert "warn  TLS: the server listens on 0.0.0.0" in done.out
    assert "ok    client addresses: " in done.out
    assert "ok    spending limits: " in done.out
    assert "ok    operator keys: " in done.out
    assert WEAK not in done.out + done.err
