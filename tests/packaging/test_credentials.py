"""Authentication in the one-file executable: it has what JWTs and keys need, and their licences."""

from __future__ import annotations

import time

import jwt
import pytest

from phoenix_compat.token import Tokens
from tests.packaging.sandbox import Sandbox
from tests.packaging.test_one_file import BINARY, HOME, SERVE, TASK
from tests.unit.server.auth.jwt_builder import ec_key, pem

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

SECRET_KEY_BASE = "a" * 64
SETTINGS = (
    'PHOENIX_COMPAT_AUTH=["keys", "jwt", "phoenix_token"]',
    'PHOENIX_COMPAT_JWT_ALGORITHMS=["ES256"]',
    "PHOENIX_COMPAT_JWT_PUBLIC_KEY_FILE=/srv/public.pem",
    "PHOENIX_COMPAT_PHOENIX_TOKEN_SECRET_KEY_BASE_FILE=/srv/base",
)


def test_every_kind_of_credential_is_accepted(sandbox: Sandbox) -> None:
    """A key that the file created, a JWT with ES256, and a signed and an encrypted Phoenix.Token;
    without one the answer is 401."""
    (sandbox.root / "srv/public.pem").write_bytes(pem(ec_key()))
    (sandbox.root / "srv/base").write_text(SECRET_KEY_BASE)
    (sandbox.root / "srv/base").chmod(0o600)
    key = sandbox.check_output(BINARY, "keys", "create", "phone", "--data-dir", "/srv/data").strip()
    tokens = Tokens(SECRET_KEY_BASE)
    credentials = {
        "key": key,
        "jwt": jwt.encode({"sub": "user-17", "exp": time.time() + 600}, ec_key(), "ES256"),
        "signed": tokens.sign("user socket", "user-18"),
        "encrypted": tokens.encrypt("user socket", "user-19"),
    }
    url = sandbox.start("/usr/bin/env", *SETTINGS, *SERVE).url()

    answers = {"": sandbox.get(f"{url}/api/tasks")}
    for name, credential in credentials.items():
        sandbox.key = credential
        answers[name] = sandbox.post(f"{url}/api/tasks", TASK)
    sandbox.key = ""

    assert answers.pop("")["status"] == 401
    assert {name: answer["status"] for name, answer in answers.items()} == dict.fromkeys(
        credentials, "processing"
    )


def test_the_licences_are_in_the_file(sandbox: Sandbox) -> None:
    """Of Python, and of each package with code in the bundle."""
    sandbox.check_output(BINARY, "--version")

    found = sandbox.check_output("sh", "-c", f"ls -d {HOME}/*/_internal/licences/*/")
    names = {path.split("/")[-2] for path in found.split()}

    assert {"python", "aiohttp", "cryptography", "pyjwt", "replicate", "uvloop"} <= names
    assert "Permission is hereby granted" in sandbox.check_output(
        "sh", "-c", f"cat {HOME}/*/_internal/licences/pyjwt/LICENSE"
    )
