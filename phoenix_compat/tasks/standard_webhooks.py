"""Signatures of webhooks, as the Standard Webhooks specification has them.

A signature is "v1," and the base64 of an HMAC-SHA256 over "<id>.<timestamp>.<raw body>".
"""

from __future__ import annotations

import base64
import hmac
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
VERSION: Final = "v1"


def signing_key(secret: str) -> bytes:
    """The key of a secret, which is `whsec_` and base64. Raises ValueError if it is not base64."""
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


def digest(key: bytes, message_id: str, timestamp: str, raw: bytes) -> bytes:
    """The base64 of the signature.

    Args:
        timestamp: seconds since 1970, as the header has it.
        raw: the body, byte for byte.
    """
    # A header that is not UTF-8 is decoded to surrogates by aiohttp.
    head = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(key, head + raw, "sha256"))


def signature(key: bytes, message_id: str, timestamp: str, raw: bytes) -> str:
    """The value of the header `webhook-signature`. The arguments are those of `digest`."""
    return f"{VERSION},{digest(key, message_id, timestamp, raw).decode()}"
