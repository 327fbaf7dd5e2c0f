"""Replaces the references to stored files in a model's input by what the provider can read.

    up to 256 kB     inline, as a `data:` URL
    larger           the address of a copy at the provider, which is sent once for each content,
                     and again when it is gone; or a link to this server, if the operator prefers it

All of this happens before the create is sent. So it may fail and be repeated without cost.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakValueDictionary

from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import (
    FilesUnavailableError,
    InputsUnavailableError,
    ProviderRefusedError,
    ProviderUnreachableError,
    StoreError,
)
from phoenix_compat.tasks.model.file_links import FILES_PATH
from phoenix_compat.tasks.model.inputs.file_inputs import (
    FindInput,
    StoredInput,
    replace_files,
    upload_reference,
    used_uploads,
)
from phoenix_compat.tasks.model.task import JSONObject
from phoenix_compat.tasks.provider.replicate.files import ReplicateFiles

MAX_INLINE_BYTES: Final = 256_000
"""Replicate's own limit for files that it does not store."""
MAX_ALL_INLINE_BYTES: Final = 2 * MAX_INLINE_BYTES
"""The limit for all inline files of one create."""
MARGIN: Final = timedelta(hours=1)
"""A copy that expires so soon is not used: the prediction may have to wait."""

_GONE: Final = 410


class SentFiles(Protocol):
    """Remembers which files were sent to the provider."""

    async def latest(self, sha256: str, valid_at: datetime) -> str | None:
        """The address of the newest copy that is valid at a time; None if there is none."""
        ...

    async def add(self, sha256: str, url: str, expires_at: datetime) -> None:
        """Remember a copy."""
        ...

    async def hashes_of(self, urls: Collection[str]) -> Mapping[str, str]:
        """Address -> sha256 of the file, for those of these that are copies."""
        ...


class InputFiles:
    """Sends the files of inputs.

    Args:
        find: finds a stored file by its hash.
        files: where larger files are sent.
        sent: remembers which were sent.
        public_url: the address of this server, if the provider gets links to it instead of copies.
    """

    def __init__(
        self,
        find: FindInput,
        files: ReplicateFiles,
        sent: SentFiles,
        *,
        public_url: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._find = find
        self._files = files
        self._sent = sent
        self._public_url = public_url
        self._clock = clock or SystemClock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def sendable(self, provider_input: JSONObject) -> JSONObject:
        """The input with values that the provider can read in place of references.

        Raises:
            ProviderRefusedError: a file is not stored any more, or the provider refuses it.
            ProviderUnreachableError, ProviderThrottledError: try again later.
        """
        try:
            return await self._sendable(provider_input)
        except FilesUnavailableError as error:
            raise InputsUnavailableError(str(error)) from error

    async def _sendable(self, provider_input: JSONObject) -> JSONObject:
        values: dict[str, str] = {}
        inline_bytes = 0
        for one in used_uploads(provider_input):
            stored = await self._find(one.sha256)
            if stored is None:
                raise _gone(one.field)
            inline_bytes += stored.size_bytes
            try:
                if stored.size_bytes <= MAX_INLINE_BYTES and inline_bytes <= MAX_ALL_INLINE_BYTES:
                    async with stored.local() as path:
                        value = await asyncio.to_thread(_data_url, path, stored.content_type)
                else:
                    inline_bytes -= stored.size_bytes
                    value = await self._address(one.sha256, stored)
            except FileNotFoundError as error:
                raise _gone(one.field) from error
            values[upload_reference(one.sha256)] = value
        if not values:
            return provider_input
        return replace_files(provider_input, lambda text: values.get(text, text))

    async def hashes_of(self, urls: Collection[str]) -> Mapping[str, str]:
        """Address -> sha256, for those of these addresses that were sent in place of files.

        Raises:
            ProviderUnreachableError: the store cannot be read.
        """
        try:
            return await self._sent.hashes_of(urls) if urls else {}
        except StoreError as error:
            raise ProviderUnreachableError(str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._files.close()

    async def _address(self, sha256: str, stored: StoredInput) -> str:
        if self._public_url is not None:
            return f"{self._public_url.rstrip('/')}{FILES_PATH}{stored.path.name}"
        lock = self._locks.setdefault(sha256, asyncio.Lock())
        async with lock:
            try:
                return await self._copy(sha256, stored)
            except StoreError as error:
                # Without the record, a lost create could not be recognised.
                raise ProviderUnreachableError(str(error)) from error

    async def _copy(self, sha256: str, stored: StoredInput) -> str:
        url = await self._sent.latest(sha256, self._clock.now() + MARGIN)
        if url is not None and await self._files.is_there(url):
            return url
        sent = await self._files.send(sha256, stored)
        await self._sent.add(sha256, sent.url, sent.expires_at)
        return sent.url


def _data_url(path: Path, content_type: str) -> str:
    content = path.read_bytes()
    return f"data:{content_type};base64,{base64.b64encode(content).decode('ascii')}"


def _gone(field: str) -> ProviderRefusedError:
    text = f"{field}: the file is not stored any more; send it again, and create a new task"
    return ProviderRefusedError(_GONE, "invalid_input", text)
