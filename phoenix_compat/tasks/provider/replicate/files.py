"""Replicate's files API: sends a file there, and asks whether it is still there.

A file is sent block by block, so it is never whole in memory. It costs nothing and may be sent
again, so every failure means that nothing was created.

Source: Replicate's OpenAPI document, 1.0.0-a1, POST and GET /files.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from phoenix_compat.tasks.model.errors import ProviderUncertainError, ProviderUnreachableError
from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput
from phoenix_compat.tasks.provider.replicate.errors import answer_error

LIFETIME: Final = timedelta(hours=24)
"""How long a file is there, if the answer does not say it."""

_MAX_ANSWER_BYTES: Final = 1024 * 1024
_CONNECT_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 20.0
_TOTAL_TIMEOUT_S: Final = 30.0
_MIN_BYTES_PER_S: Final = 64 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,255}")


class SentFile(NamedTuple):
    """A copy of a file at the provider."""

    url: str
    expires_at: datetime


class ReplicateFiles:
    """The files of an account.

    Args:
        token: the API token; it is sent to `base_url` only.
        base_url: with the version of the API.
    """

    def __init__(self, token: str, base_url: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._url = f"{base_url.rstrip('/')}/files"
        self._session: aiohttp.ClientSession | None = None

    async def send(self, sha256: str, stored: StoredInput) -> SentFile:
        """Send a file; returns its address, which the provider alone can read.

        Raises:
            ProviderUnreachableError, ProviderThrottledError, ProviderRefusedError: it is not there.
            FileNotFoundError: the stored file is gone.
            FilesUnavailableError: the server that keeps it does not answer.
        """
        async with stored.local() as path:
            file = await asyncio.to_thread(path.open, "rb")
            try:
                form = aiohttp.FormData(quote_fields=False)
                form.add_field(
                    "content",
                    file,  # read in threads, block by block; its size becomes the Content-Length
                    filename=_name(sha256, stored.path),
                    content_type=stored.content_type,
                )
                total_s = _TOTAL_TIMEOUT_S + stored.size_bytes / _MIN_BYTES_PER_S
                answer = await self._ask("POST", self._url, total_s, data=form)
            finally:
                await asyncio.to_thread(file.close)
        return _sent_file(answer)

    async def is_there(self, url: str) -> bool:
        """Whether the provider still has a file that was sent. False is certain.

        Raises:
            ProviderUnreachableError: no connection was made.
            ProviderThrottledError, ProviderRefusedError: the provider does not say.
        """
        file_id = urlsplit(url).path.rpartition("/")[2]
        if not _ID.fullmatch(file_id):
            return False
        # By its id alone: the token is never sent to an address in an answer.
        answer = await self._ask("GET", f"{self._url}/{file_id}", _TOTAL_TIMEOUT_S)
        return answer is not None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, url: str, total_s: float, data: Any = None) -> object:
        """The JSON of an answer; None for 404."""
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        timeout = aiohttp.ClientTimeout(
            total=total_s, sock_connect=_CONNECT_TIMEOUT_S, sock_read=_READ_TIMEOUT_S
        )
        try:
            async with self._session.request(
                method, url, data=data, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.content.read(_MAX_ANSWER_BYTES)
                status, headers = response.status, response.headers
        except (aiohttp.ClientError, OSError) as error:  # OSError covers TimeoutError
            name = type(error).__name__
            raise ProviderUnreachableError(f"the file was not sent: {name}") from error
        document = _parsed(body)
        if method == "GET" and status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return None
        if status >= HTTPStatus.BAD_REQUEST:
            refusal = answer_error(status, document, headers)
            if isinstance(refusal, ProviderUncertainError):
                raise ProviderUnreachableError(f"the file was not sent: {status}") from refusal
            raise refusal
        return document


def _name(sha256: str, path: Path) -> str:
    return f"{sha256}{path.suffix}"


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _sent_file(answer: object) -> SentFile:
    urls = answer.get("urls") if isinstance(answer, dict) else None
    url = urls.get("get") if isinstance(urls, dict) else None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ProviderUnreachableError("the file was sent, and the answer has no address of it")
    return SentFile(url, _expiry(answer))


def _expiry(answer: object) -> datetime:
    text = answer.get("expires_at") if isinstance(answer, dict) else None
    try:
        expires_at = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.now(UTC) + LIFETIME
    return expires_at if expires_at.tzinfo is not None else expires_at.replace(tzinfo=UTC)
