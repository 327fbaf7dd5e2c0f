"""The CSRF tokens of Plug: how a page proves that it was made by the server whose session it uses.

The session holds a secret of 24 characters, the state. A page holds a masked copy, which is
different for each page: the state XOR a random mask, in base64, and then the mask.

    state   24 characters    base64 of 18 random bytes
    token   56 characters    base64(state XOR mask), 32 characters, then the mask, 24 characters

Source: plug 1.19.2, lib/plug/csrf_protection.ex, mask/1, dump_state_from_session/1 and
valid_state_and_csrf_token?/2; plug_crypto 2.1.1, lib/plug/crypto.ex, mask/2 and masked_compare/3.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hmac import compare_digest
from typing import Final

from phoenix_compat.protocol.base64_text import Base64Error, decode_base64

PARAM: Final = "_csrf_token"
"""The parameter of a connect that carries the token, and the usual key of the state."""
RANDOM_BYTES: Final = 18
"""How many random bytes a state or a mask is made of."""

_STATE_CHARS: Final = 24
_MASKED_CHARS: Final = 32


def random_text(random: bytes) -> str:
    """A state or a mask of RANDOM_BYTES random bytes."""
    return urlsafe_b64encode(random).decode()


def state_of(stored: object) -> str | None:
    """The state that a session stores; None if it stores none, or something else."""
    if not isinstance(stored, str) or not stored.isascii() or len(stored) != _STATE_CHARS:
        return None
    return stored


def mask_state(state: str, mask: str) -> str:
    """The token for a page: the state under this mask, which must not be used twice."""
    return urlsafe_b64encode(_xor(state.encode(), mask.encode())).decode() + mask


def is_valid(stored: object, token: object) -> bool:
    """Whether a token that a client sent was made from the state that its session stores."""
    state = state_of(stored)
    if state is None or not isinstance(token, str) or not token.isascii():
        return False
    if len(token) != _MASKED_CHARS + _STATE_CHARS:
        return False
    try:
        masked = decode_base64(token[:_MASKED_CHARS].translate(_TO_STANDARD).encode())
    except Base64Error:
        return False
    if len(masked) != _STATE_CHARS:  # the base64 ends with padding
        return False
    return compare_digest(_xor(masked, token[_MASKED_CHARS:].encode()), state.encode())


_TO_STANDARD: Final = str.maketrans("-_+/", "+/!!")
"""From the URL-safe alphabet to the standard one; characters of the standard one are refused."""


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
