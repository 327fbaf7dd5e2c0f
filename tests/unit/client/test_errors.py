"""The texts of errors say what happened, and what to write or check."""

from __future__ import annotations

import pytest

from phoenix_compat import PhoenixCompatError
from phoenix_compat.client import ConnectError, JoinError, PushError


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (None, "check the URL, and whether the server runs"),
        (401, "check params and auth_token"),
        (403, "check params and auth_token"),
        (404, "check the URL"),
        (503, "try again later"),
    ],
)
def test_what_to_do_about_a_failed_connect(status: int | None, remedy: str) -> None:
    """It depends on who refused."""
    error = ConnectError("ws://a/socket", "why", status)

    assert str(error) == f"cannot connect to ws://a/socket: why; {remedy}"


def test_responses_are_shortened() -> None:
    """A server cannot fill a log or a terminal."""
    long = {"reason": "x\n" * 10_000}

    join, push = JoinError("t", long), PushError("t", "e", "error", [long])

    assert len(str(join)) < 500
    assert len(str(push)) < 1_000
    assert "\n" not in str(join)
    assert join.reason is long


def test_one_root() -> None:
    """`except PhoenixCompatError` catches them, and `except TimeoutError` the timeouts."""
    assert issubclass(ConnectError, PhoenixCompatError)
    assert issubclass(JoinError, PhoenixCompatError)
