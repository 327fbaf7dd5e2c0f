"""How the commands that the server prints begin."""

from __future__ import annotations

import sys

import pytest

from phoenix_compat.cli.serve import _program


@pytest.mark.parametrize(
    ("called", "started_as", "expected"),
    [
        ("server.py", None, "python server.py"),
        ("/home/ann/phoenix_compat/__main__.py", None, "python -m phoenix_compat"),
        ("/home/ann/.venv/bin/phoenix-compat", None, "/home/ann/.venv/bin/phoenix-compat"),
        ("/var/unpacked/phoenix-compat", "./my phoenix-compat", "'./my phoenix-compat'"),
    ],
)
def test_the_program_is_named_as_the_user_has_called_it(
    monkeypatch: pytest.MonkeyPatch, called: str, started_as: str | None, expected: str
) -> None:
    """Also the one file, which runs from another place."""
    monkeypatch.setattr(sys, "argv", [called, "serve"])
    if started_as is not None:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        monkeypatch.setenv("_PHOENIX_COMPAT_STARTED_AS", started_as)

    assert _program() == expected
