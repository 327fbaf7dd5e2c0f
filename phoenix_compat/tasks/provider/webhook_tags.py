"""Makes and checks the tags in webhook URLs."""

from __future__ import annotations

import hmac


class WebhookTags:
    """Tags for the query of webhook URLs. A request without a valid tag is refused unread.

    Args:
        secret: a text that only this server knows, and that stays the same after a restart.
    """

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"phoenix_compat webhook tag", "sha256")

    def tag(self, task_id: str) -> str:
        """The tag of a task: 32 hex digits."""
        return hmac.digest(self._key, task_id.encode(), "sha256").hex()[:32]

    def is_valid(self, task_id: str, tag: str) -> bool:
        """Whether the tag belongs to this task; compared in constant time."""
        if not (task_id.isascii() and tag.isascii()):
            return False  # no task has such an id; a text with surrogates cannot be encoded
        return hmac.compare_digest(tag.encode(), self.tag(task_id).encode())
