"""What the answers of Replicate's files API mean: nothing was created, whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput
from phoenix_compat.tasks.provider.replicate.files import ReplicateFiles
from tests.integration.uploads.photo import photo
from tests.serving import serving

GOOD: dict[str, Any] = {
    "id": "f-1",
    "urls": {"get": "https://api.example/v1/files/f-1"},
    "expires_at": "?",
}


@asynccontextmanager
async def files_api(
    status: int, document: Any, seen: list[web.Request] | None = None
) -> AsyncIterator[ReplicateFiles]:
    """A files API with one answer."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if seen is not None:
            seen.append(request)
        return web.json_response(document, status=status)

    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/v1/{path:.*}", answer)
    async with serving(app) as url:
        files = ReplicateFiles("r8_test", f"{url}/v1/")
        try:
            yield files
        finally:
            await files.close()


def stored(folder: Path) -> StoredInput:
    path = folder / "a.jpg"
    path.write_bytes(photo(300))
    return StoredInput(path, "image/jpeg", len(photo(300)))


@pytest.mark.parametrize(
    ("status", "document", "error"),
    [
        (500, {}, ProviderUnreachableError),
        (502, "<html>", ProviderUnreachableError),
        (408, {}, ProviderUnreachableError),
        (201, [], ProviderUnreachableError),
        (201, {"urls": {"get": "file:///etc/passwd"}}, ProviderUnreachableError),
        (429, {"retry_after": 7}, ProviderThrottledError),
        (401, {"title": "Unauthenticated"}, ProviderRefusedError),
        (402, {"title": "Insufficient credit"}, ProviderRefusedError),
        (413, {"detail": "too large"}, ProviderRefusedError),
    ],
)
async def test_a_file_that_was_not_accepted(
    tmp_path: Path, status: int, document: Any, error: type[ProviderError]
) -> None:
    """None of the errors says that a prediction may have been created."""
    async with files_api(status, document) as files:
        with pytest.raises(error):
            await files.send("0" * 64, stored(tmp_path))


async def test_the_request(tmp_path: Path) -> None:
    """It has the token, a length, and the hash as the name of the file."""
    seen: list[web.Request] = []
    async with files_api(201, GOOD, seen) as files:
        sent = await files.send("0" * 64, stored(tmp_path))

    [request] = seen
    assert sent.url == GOOD["urls"]["get"]
    assert (request.method, request.path) == ("POST", "/v1/files")
    assert request.headers["Authorization"] == "Bearer r8_test"
    assert int(request.headers["Content-Length"]) > len(photo(300))
    assert f'filename="{"0" * 64}.jpg"'.encode() in await request.read()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (404, False), (410, False)])
async def test_whether_a_copy_is_there(status: int, *, expected: bool) -> None:
    """Only 404 and 410 say that it is gone; the request goes to the API, never to the address."""
    seen: list[web.Request] = []
    async with files_api(status, {}, seen) as files:
        assert await files.is_there("https://evil.example/v1/files/f-1") is expected
        assert await files.is_there("https://evil.example/v1/files/..%2F") is False

    assert [request.path for request in seen] == ["/v1/files/f-1"]


async def test_no_connection(tmp_path: Path) -> None:
    """Refused connections, and files that are gone."""
    files = ReplicateFiles("r8_test", "http://127.0.0.1:1/v1")
    with pytest.raises(ProviderUnreachableError):
        await files.send("0" * 64, stored(tmp_path))
    with pytest.raises(ProviderUnreachableError):
        await files.is_there("https://api.example/v1/files/f-1")
    with pytest.raises(FileNotFoundError):
        await files.send("0" * 64, StoredInput(tmp_path / "gone.jpg", "image/jpeg", 1))
    await files.close()
