"""Signs webhooks (Standard Webhooks scheme) and download links of uploads; it verifies nothing."""

from __future__ import annotations

import base64
import hmac

_PREFIX = "whsec_"


def webhook_headers(secret: str, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` for this body.

    Args:
        secret: `whsec_` followed by the key in base64.
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{_signature(secret, signed)}",
    }


def download_signature(secret: str, owner: str, file_id: str, expiry: str) -> str:
    """The signature that /files/{id}/download requires.

    It is the HMAC-SHA256 of `owner file_id expiry`, in base64.
    """
    return _signature(secret, f"{owner} {file_id} {expiry}".encode())


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
