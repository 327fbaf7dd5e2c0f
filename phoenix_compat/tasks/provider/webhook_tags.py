"""Tags in webhook addresses: a webhook that carries none of ours is not even read."""

from __future__ import annotations

import hmac


class WebhookTags:
    """Tags for the query of webhook addresses, so that only those we gave out are listened to.

    Args:
        secret: anything only this server knows; the same after a restart.
    """

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"phoenix_compat webhook tag", "sha256")

    def tag(self, task_id: str) -> str:
        """The tag of a task: 32 hex digits."""
        return hmac.digest(self._key, task_id.encode(), "sha256").hex()[:32]

    def is_right(self, task_id: str, tag: str) -> bool:
        """Whether the tag is this task's, told in constant time."""
        return hmac.compare_digest(tag.encode(), self.tag(task_id).encode())
