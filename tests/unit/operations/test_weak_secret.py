"""Secrets that can be guessed are recognized, and random ones are not."""

from __future__ import annotations

import base64
import secrets

import pytest

from phoenix_compat.operations.doctor.weak_secret import weakness_of


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 64,
        "abc" * 20,
        "0123456789abcdef" * 4,
        "hunter2 hunter2 hunter2 hunter2 hunter2 ",
        "010011010110010110100101101001010110100110",
        "a-string-secret-at-least-256-bits-long",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "CHANGE_ME_before_you_go_to_production_please",
        "MyPassw0rdForTheWholeCompany-2026-11",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ2345678901",
    ],
)
def test_a_secret_that_a_person_made_up_is_weak(secret: str) -> None:
    """Repetitions, few characters, common words and the secrets of examples are named; the reason
    does not quote them."""
    reason = weakness_of(secret.encode())

    assert reason is not None
    assert secret not in reason


@pytest.mark.parametrize("size", [24, 32, 48, 64])
def test_a_random_secret_is_not_weak(size: int) -> None:
    """Random bytes raise no suspicion, as hexadecimal digits, as base64 or as they are."""
    for _ in range(200):
        secret = secrets.token_bytes(size)

        found = [
            weakness_of(form) for form in (secret, secret.hex().encode(), base64.b64encode(secret))
        ]

        assert found == [None, None, None]


def test_random_digits_are_enough_if_there_are_32() -> None:
    """A secret needs no letters."""
    assert weakness_of(b"48392017564738291056472918305647") is None


def test_a_long_secret_is_examined_in_linear_time() -> None:
    """A file of 256 KiB takes no longer than a moment."""
    assert weakness_of(b"ab" * 131_072) == "it repeats a few characters"
