"""Photos on a server with several processes: each process receives them, one stores them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import aiohttp

from tests.integration.multiprocess.test_workers_tasks import tasks
from tests.integration.uploads.photo import data_url, edit, photo
from tests.patience import patient


async def test_every_process_receives_photos(tmp_path: Path) -> None:
    """As a body and inline, whichever process a connection reaches; 26 MB are refused there too."""
    sha256 = hashlib.sha256(photo(700)).hexdigest()
    jpeg, json_type = {"Content-Type": "image/jpeg"}, {"Content-Type": "application/json"}
    async with tasks(tmp_path) as server, aiohttp.ClientSession() as http:

        async def post(path: str, data: bytes, headers: dict[str, str]) -> tuple[int, str]:
            # A connection of its own: the processes share the port.
            url, body = server.url + path, io.BytesIO(data)
            timeout = aiohttp.ClientTimeout(total=patient(30.0))
            close = {**headers, "Connection": "close"}
            async with http.post(url, data=body, headers=close, timeout=timeout) as answer:
                return answer.status, await answer.text()

        body = json.dumps(edit(data_url(photo(700)))).encode()
        files = [await post("/api/files", photo(700), jpeg) for _ in range(6)]
        posted = [await post("/api/tasks", body, json_type) for _ in range(6)]
        large = [await post("/api/files", bytes(26 * 2**20), jpeg) for _ in range(2)]

    assert [status for status, _ in files] == [201] * 6, files
    assert all(sha256 in text for _, text in files)
    assert [status for status, _ in posted] == [202] * 6, posted
    assert [status for status, _ in large] == [413] * 2, large
