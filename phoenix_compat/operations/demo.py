"""The main job as a client sees it: order a picture, watch it being made, save it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from phoenix_compat.errors import PhoenixCompatError

_SUFFIXES: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}
_MAX_PICTURE_BYTES: Final = 50 * 2**20
_TIMEOUT_S: Final = 900.0


class DemoError(PhoenixCompatError):
    """The job did not end with a picture; the text says why."""


async def run_demo(
    url: str, prompt: str, folder: Path, on_progress: Callable[[dict[str, Any]], None]
) -> Path:
    """Order a picture from the server at `url` and save it.

    Args:
        on_progress: called with each `progress` payload.

    Returns:
        The file.

    Raises:
        DemoError: the server refused, the task failed, or the picture cannot be had.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            task_id = await _order(session, url, prompt)
            last: dict[str, Any] = {}
            async for last in _follow(session, url, task_id):
                on_progress(last)
            if last.get("status") != "completed":
                raise DemoError(f"the task failed: {last.get('error_data', {}).get('error')}")
            return await _save(session, last["result_data"]["image_url"], prompt, folder)
    except (TimeoutError, aiohttp.ClientError) as error:
        raise DemoError(f"{url} does not answer as it should: {error!r}") from error


async def _order(session: aiohttp.ClientSession, url: str, prompt: str) -> str:
    order = {"input_data": {"type": "image", "prompt": prompt}}
    async with session.post(f"{url}/api/tasks", json=order) as answer:
        body = await answer.json(content_type=None)
        if answer.status != 202:
            raise DemoError(f"the order was refused: {body.get('detail', answer.status)}")
        return str(body["task_id"])


async def _follow(
    session: aiohttp.ClientSession, url: str, task_id: str
) -> AsyncIterator[dict[str, Any]]:
    """Join the task's channel; yields the payload of each `progress` until the last."""
    topic = f"task:{task_id}"
    async with session.ws_connect(f"{url}/socket/websocket?vsn=2.0.0") as socket:
        await socket.send_json(["1", "1", topic, "phx_join", {}])
        async for message in socket:
            _join_ref, _ref, _topic, event, payload = message.json()
            if event == "phx_reply" and payload["status"] != "ok":
                raise DemoError(f"the channel refused: {payload['response']}")
            if event == "progress":
                yield payload
                if payload["status"] in {"completed", "failed"}:
                    return
    raise DemoError("the connection ended before the task did")


async def _save(session: aiohttp.ClientSession, url: str, prompt: str, folder: Path) -> Path:
    async with session.get(url) as answer:
        answer.raise_for_status()
        data = await answer.content.read(_MAX_PICTURE_BYTES)
        suffix = _SUFFIXES.get(answer.content_type, Path(urlsplit(url).path).suffix or ".bin")
    name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "picture"
    path = folder / f"{name}{suffix}"
    await asyncio.to_thread(_write, path, data)
    return path


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
