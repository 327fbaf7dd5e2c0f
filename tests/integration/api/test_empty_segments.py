"""Paths with empty segments, as apps make them whose base URL ends with a slash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.task_server import Client, product, settings_for
from tests.wire import PhoenixWire

BODY = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of the whole server."""
    async with product(settings_for(tmp_path)) as client:
        yield client


@pytest.mark.parametrize("path", ["/api/tasks/", "//api/tasks", "/api//tasks//", "///api/tasks"])
async def test_a_task_is_created(client: Client, path: str) -> None:
    """A3: as without them; the link to the task has none."""
    async with aiohttp.request("POST", client.url + path, json=BODY) as answer:
        document = await answer.json()

    assert answer.status == 202
    assert answer.headers["Location"] == f"/api/tasks/{document['task_id']}"


@pytest.mark.parametrize(
    "path", ["/api/tasks/{id}/", "//api/tasks//{id}", "/api/tasks/{id}/events/?limit=1"]
)
async def test_a_task_is_shown(client: Client, path: str) -> None:
    """A3: the query counts as ever."""
    task_id = await client.post()

    status, document = await client.request("GET", path.replace("{id}", task_id))

    assert status == 200
    assert document.get("task_id") == task_id or len(document["events"]) == 1


@pytest.mark.parametrize("path", ["/healthz/", "//healthz", "/readyz/", "//"])
async def test_the_other_routes_do_the_same(client: Client, path: str) -> None:
    """A3: health checks and the page at the root."""
    async with aiohttp.request("GET", client.url + path) as answer:
        assert answer.status == 200


async def test_a_socket_opens(client: Client) -> None:
    """A3: as on real Phoenix."""
    wire = await PhoenixWire.open(client.url, "//socket//websocket/?vsn=2.0.0")

    await wire.close()


@pytest.mark.parametrize("path", ["/api/tasks", "//api/tasks", "/api//tasks/"])
async def test_no_check_of_a_path_is_passed_by_it(client: Client, path: str) -> None:
    """A3: a page of another origin and a body that is not JSON are refused in every spelling."""
    page = {"Origin": "https://evil.example"}
    async with aiohttp.request("POST", client.url + path, json=BODY, headers=page) as from_page:
        pass
    async with aiohttp.request("POST", client.url + path, data="x") as form:
        pass

    assert (from_page.status, form.status) == (403, 415)


async def test_an_encoded_slash_is_no_separator(client: Client) -> None:
    """A3: `%2F` is a character of a segment, also at the end."""
    status, _ = await client.request("GET", "/api/tasks%2F")

    assert status == 404
