"""The CSRF tokens of Plug."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any

import pytest

from phoenix_compat.protocol.csrf import is_valid, mask_state, random_text, state_of

STATE = random_text(bytes(range(18)))
MASK = random_text(bytes(range(200, 218)))
TOKEN = mask_state(STATE, MASK)


def test_a_token() -> None:
    """It is the state XOR the mask in URL-safe base64, and then the mask."""
    masked, mask = TOKEN[:32], TOKEN[32:]

    assert mask == MASK
    unmasked = bytes(a ^ b for a, b in zip(urlsafe_b64decode(masked), mask.encode(), strict=True))
    assert unmasked == STATE.encode()
    assert is_valid(STATE, TOKEN)


def test_a_token_by_plugs_definition() -> None:
    """A token that was made bit by bit is valid, and the sizes are Plug's."""
    assert (len(STATE), len(TOKEN)) == (24, 56)
    assert is_valid("ABEiM0RVZneImaq7zN3u_wAR", _as_plug("ABEiM0RVZneImaq7zN3u_wAR"))


def _as_plug(state: str) -> str:
    """`Base.url_encode64(:crypto.exor(state, mask)) <> mask` for a mask of equal characters."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    mask = "k" * 24
    bits = "".join(f"{ord(a) ^ ord(b):08b}" for a, b in zip(state, mask, strict=True))
    sextets = [bits[start : start + 6] for start in range(0, len(bits), 6)]
    return "".join(alphabet[int(sextet, 2)] for sextet in sextets) + mask


@pytest.mark.parametrize(
    ("stored", "token"),
    [
        (STATE, None),
        (STATE, ""),
        (STATE, ["a"]),
        (STATE, TOKEN[:-1]),
        (STATE, TOKEN + "A"),
        (STATE, "é" + TOKEN[1:]),
        (STATE, "+" * 32 + MASK),
        (STATE, "A" * 31 + "=" + MASK),
        (STATE, "A" * 32 + MASK),
        (STATE, mask_state(random_text(b"x" * 18), MASK)),
        (None, TOKEN),
        ("", TOKEN),
        (STATE + "A", TOKEN),
        (7, TOKEN),
        (b"x" * 24, TOKEN),
    ],
)
def test_what_is_not_valid(stored: Any, token: Any) -> None:
    """Anything that was not made from the state of the session, of whatever type."""
    assert is_valid(stored, token) is False


def test_a_mask_is_as_long_as_the_state() -> None:
    """A shorter one would leave a part of the state readable."""
    with pytest.raises(ValueError, match="shorter"):
        mask_state(STATE, MASK[:-1])


def test_the_state_of_a_session() -> None:
    """Only a text of 24 characters is a state."""
    assert state_of(STATE) == STATE
    assert [state_of(stored) for stored in (None, "", "x" * 23, "é" * 24, 5)] == [None] * 5
