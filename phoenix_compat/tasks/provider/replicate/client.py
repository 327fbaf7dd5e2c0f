"""Requests to Replicate's HTTP API, by its SDK, which is imported with the first of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phoenix_compat.tasks.provider.replicate.sdk import ReplicateSDK


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Where requests go, and how long they may take.

    Attributes:
        token: the API token.
        base_url: with the version of the API.
        total_timeout_s: the limit for one request, from the first byte to the last.
    """

    token: str
    base_url: str
    connect_timeout_s: float
    read_timeout_s: float
    total_timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its headers; the mapping is case-insensitive."""

    body: object
    headers: Mapping[str, str]


class ReplicateClient:
    """Sends requests and returns the JSON of the answers.

    Every method raises a `ProviderError` if there was no answer, or one with an error status: it
    says whether the request can have taken effect.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._sdk: ReplicateSDK | None = None
        self._loading = asyncio.Lock()

    async def get(self, path: str, params: Mapping[str, object] | None = None) -> object:
        """Get a resource."""
        return await (await self._loaded()).get(path, params or {})

    async def get_answer(self, path: str) -> Answer:
        """Get a resource with the headers of the answer."""
        return await (await self._loaded()).get_answer(path)

    async def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        words: frozenset[str] = frozenset(),
    ) -> object:
        """Post to a resource.

        Args:
            words: the user's texts in the body, which no text for the user is taken from.
        """
        return await (await self._loaded()).post(path, body, headers or {}, words)

    async def close(self) -> None:
        """Close the connections."""
        if self._sdk is not None:
            await self._sdk.close()

    async def _loaded(self) -> ReplicateSDK:
        if self._sdk is None:
            async with self._loading:
                if self._sdk is None:
                    sdk_class = await asyncio.to_thread(_sdk_class)
                    self._sdk = sdk_class(self._options)
        return self._sdk


def _sdk_class() -> type[ReplicateSDK]:
    from phoenix_compat.tasks.provider.replicate.sdk import ReplicateSDK  # noqa: PLC0415 - slow

    return ReplicateSDK
