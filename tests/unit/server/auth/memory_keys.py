"""API keys in memory."""

from __future__ import annotations

from phoenix_compat.server.auth.keys.api_keys import ApiKey
from phoenix_compat.tasks.model.errors import StoreUnavailableError


class MemoryKeys:
    """Keys by their text; a test may remove some, or make all unavailable."""

    def __init__(self, keys: dict[str, ApiKey], *, is_gone: bool = False) -> None:
        self.keys = keys
        self.is_gone = is_gone

    async def find(self, key: str) -> ApiKey | None:
        """See ApiKeys."""
        if self.is_gone:
            raise StoreUnavailableError("the disk is gone")
        return self.keys.get(key)
