"""Which texts may be owners."""

from __future__ import annotations

import pytest

from phoenix_compat.server.auth.errors import BadOwnerError
from phoenix_compat.server.auth.owner import checked_owner


@pytest.mark.parametrize(
    ("value", "owner"),
    [
        *((text, text) for text in ("user-17", "auth0|5f7", "user-ü", "a b", "Key:x", "keys", "0")),
        ("x" * 255, "x" * 255),
        (42, "42"),
        (-7, "-7"),
        (2**127, str(2**127)),
    ],
)
def test_owners(value: object, owner: str) -> None:
    """Printable texts and the ids of databases."""
    assert checked_owner(value) == owner


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((value, "not a string") for value in (None, True, False, 1.5, b"x", ["x"], {"a": 1})),
        *(("", "empty"), ("  ", "empty")),
        *(
            (text, "printed")
            for text in ("a\n", "a\x00", "a\x1b[2J", "a\x7f", "a\u202e", "a\udcff")
        ),
        ("x" * 256, "longer than 255"),
        ("ü" * 128, "longer than 255"),
        ("key:", "reserved"),
        ("key:admin", "reserved"),
        (2**200, "too large"),
        pytest.param(10**5000, "too large", id="5000 digits"),
    ],
)
def test_no_owners(value: object, reason: str) -> None:
    """Nothing that is empty, long, invisible, of another type, or looks like a key's owner."""
    with pytest.raises(BadOwnerError, match=reason):
        checked_owner(value)
