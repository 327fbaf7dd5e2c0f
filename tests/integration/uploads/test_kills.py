"""The server is killed while photos arrive: nothing is left behind, and nothing is lost."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from tests.integration.operations.commands import server
from tests.integration.task_server import Client
from tests.integration.uploads.photo import edit, photo
from tests.integration.uploads.test_inline import stored
from tests.patience import patient
from tests.wire import PatientClient


async def test_a_kill_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """The next start deletes the beginning; a file that was answered is still there and usable."""
    command = ("server.py", "serve", "--port", "0", "--data-dir", str(tmp_path))
    jpeg = {"Content-Type": "image/jpeg"}
    async with server(*command) as (process, url):
        async with Client.of(url) as client:
            data = io.BytesIO(photo())
            _, file = await client.request("POST", "/api/files", data=data, headers=jpeg)
        wire = await PatientClient.connect(url)
        head = f"POST /api/files HTTP/1.1\r\nHost: {wire.host}\r\nContent-Type: image/jpeg\r\n"
        beginning = b"Content-Length: 900000\r\n\r\n" + photo(400)[:100_000]
        await wire.send_bytes(head.encode() + beginning)
        async with asyncio.timeout(patient(20.0)):
            while len(stored(tmp_path)) < 2:  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
        await wire.close()
    unfinished = stored(tmp_path)

    async with server(*command) as (_, url), Client.of(url) as client:
        after = stored(tmp_path)
        status, task = await client.request("POST", "/api/tasks", json=edit(file["id"]))

    assert any(name.endswith(".part") for name in unfinished)
    assert after == [file["url"].rpartition("/")[2]]
    assert status == 202, task
