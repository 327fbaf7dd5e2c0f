"""The main job as a client does it: create a task, follow it over a channel, save the picture."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.operations.reason import reason_of
from phoenix_compat.operations.watch import follow_task
from phoenix_compat.private_files import make_private_folder, open_private

_SUFFIXES: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}
_MAX_PICTURE_BYTES: Final = 50 * 2**20
_TIMEOUT_S: Final = 900.0


class DemoError(PhoenixCompatError):
    """The demo did not end with a picture; the text says why."""


async def run_demo(
    url: str,
    prompt: str,
    folder: Path,
    on_progress: Callable[[Mapping[str, Any]], None],
    credential: str | None = None,
) -> Path:
    """Have the server at `url` make a picture, and save it.

    Args:
        on_progress: called with each `progress` payload.
        credential: an API key or a token; only this server gets it.

    Returns:
        The file.

    Raises:
        DemoError: the server refused, the task failed, or the picture cannot be saved.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            task_id = await _create_task(session, url, prompt, headers)
            last: Mapping[str, Any] = {}
            async with aclosing(follow_task(url, task_id, credential)) as progress:
                async for last in progress:
                    on_progress(last)
            if last.get("status") != "completed":
                reason = last.get("error_data", {}).get("error")
                raise DemoError(f"the task failed: {reason}; try another prompt")
            return await _save(session, last["result_data"]["image_url"], prompt, folder)
    except (TimeoutError, aiohttp.ClientError) as error:
        remedy = "check the URL, or leave out --url to start a server for the demo"
        raise DemoError(f"cannot use {url}: {reason_of(error)}; {remedy}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DemoError(f"{url} is not a phoenix-compat server; check the URL") from error


async def _create_task(
    session: aiohttp.ClientSession, url: str, prompt: str, headers: Mapping[str, str]
) -> str:
    body = {"input_data": {"type": "image", "prompt": prompt}}
    async with session.post(f"{url}/api/tasks", json=body, headers=headers) as response:
        document = await response.json(content_type=None)
        if response.status == 401:
            what = "refuses this credential" if headers else "asks for a credential"
            raise DemoError(f"{url} {what}; name a file that contains a key: --key-file FILE")
        if response.status != 202:
            detail = document.get("detail", f"status {response.status}")
            raise DemoError(f"{url} refuses the task: {detail}")
        return str(document["task_id"])


async def _save(session: aiohttp.ClientSession, url: str, prompt: str, folder: Path) -> Path:
    async with session.get(url) as response:
        response.raise_for_status()
        data = await response.content.read(_MAX_PICTURE_BYTES)
        suffix = _SUFFIXES.get(response.content_type, Path(urlsplit(url).path).suffix or ".bin")
    name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "picture"
    path = folder / f"{name}{suffix}"
    try:
        await asyncio.to_thread(_write, path, data)
    except OSError as error:
        remedy = "choose another folder with --out"
        raise DemoError(f"cannot write {path}: {error.strerror}; {remedy}") from error
    return path


def _write(path: Path, data: bytes) -> None:
    make_private_folder(path.parent)
    with open_private(path, "wb") as file:
        file.write(data)
