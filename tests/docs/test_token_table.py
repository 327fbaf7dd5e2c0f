"""The table of docs/python.md says what `verify` raises."""

from __future__ import annotations

import time

import phoenix_compat
from phoenix_compat import Tokens
from tests.docs.pages import page, rows

HEADER = "| the token | `verify` raises |"
SECRET, OTHER_SECRET = "a" * 64, "b" * 64


def outcome(token: object) -> str:
    """The name of the error for a token, in the form of the table."""
    try:
        Tokens(SECRET).verify("user socket", token, max_age_s=86_400)
    except phoenix_compat.TokenError as error:
        return f"`{type(error).__name__}`"
    return "none"


def test_what_verify_raises() -> None:
    """Each row holds for a token of its kind, in the order of the table."""
    tokens = Tokens(SECRET)
    good = tokens.sign("user socket", "ann")
    kinds: list[list[object]] = [
        [None],
        ["", "hello", 5, good[:-1] + ("A" if good[-1] != "A" else "B"), "x" + good, good + "A"],
        [Tokens(OTHER_SECRET).sign("user socket", "ann"), tokens.sign("password reset", "ann")],
        [tokens.sign("user socket", "ann", signed_at_s=time.time() + 3_600)],
        [tokens.sign("user socket", "ann", signed_at_s=time.time() - 90_000)],
    ]

    assert outcome(good) == "none"
    assert [{outcome(token) for token in kind} for kind in kinds] == [
        {raised} for _, raised in rows(page("python.md"), HEADER)
    ]


def test_the_errors_of_the_table_are_public() -> None:
    """They can be imported as the page says."""
    for _, raised in rows(page("python.md"), HEADER):
        assert issubclass(getattr(phoenix_compat, raised.strip("`")), phoenix_compat.TokenError)
