"""The CSRF token for a page."""

from __future__ import annotations

from typing import Any

from phoenix_compat import csrf_token
from phoenix_compat.protocol.csrf import is_valid


def test_a_new_session_gets_a_secret() -> None:
    """The secret is stored once, and every page gets another token of it."""
    session: dict[str, Any] = {"user": 1}

    first, second = csrf_token(session), csrf_token(session)

    assert first != second
    assert is_valid(session["_csrf_token"], first)
    assert is_valid(session["_csrf_token"], second)
    assert session["user"] == 1


def test_an_invalid_secret_is_replaced() -> None:
    """What is not a secret of Plug's form is replaced by one."""
    session: dict[str, Any] = {"_csrf_token": "short"}

    assert is_valid(None, csrf_token(session)) is False
    assert len(session["_csrf_token"]) == 24


def test_another_key() -> None:
    """The secret is stored under the key that the transport reads."""
    session: dict[str, Any] = {}

    token = csrf_token(session, "csrf")

    assert is_valid(session["csrf"], token)
