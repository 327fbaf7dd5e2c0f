"""The OpenAPI document describes every route, and real answers are as it says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.server.http.openapi.document import openapi_document
from phoenix_compat.server.http.openapi.routes import NOT_DESCRIBED, ROUTES
from phoenix_compat.server.http.schemas.task_events import TaskOutput, TaskProgress
from tests.integration.openapi.openapi_server import MONK, TASK, Server, open_server
from tests.integration.uploads.photo import data_url, edit, photo

FAILS = {"input_data": {"type": "image", "prompt": "#fault:E005"}}
STUCK = {"input_data": {"type": "image", "prompt": "#fault:stuck_processing"}}
TEXT = {"input_data": {"type": "text", "prompt": "Once"}}
STREAM = f"{TASK}/stream"
EVENTS: dict[str, type[TaskProgress] | type[TaskOutput]] = {
    "progress": TaskProgress,
    "output": TaskOutput,
    "result": TaskProgress,
    "error": TaskProgress,
}
MISSING = "019b8d2f-6c00-7a4e-9d3b-2f1c5e8a7b60"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The server, without authentication."""
    async with open_server(tmp_path) as opened:
        yield opened


def routes_of(app: web.Application) -> set[tuple[str, str]]:
    """Every route that an application has, as method and path."""
    found = set()
    for route in app.router.routes():
        info = route.get_info()
        path = str(info.get("path") or info.get("formatter") or info.get("prefix"))
        if route.method != "HEAD" and not is_left_out(path):
            found.add((route.method, path))
    return found


def is_left_out(path: str) -> bool:
    """Whether a path is one of NOT_DESCRIBED."""
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in NOT_DESCRIBED)


async def test_every_route_is_described(server: Server) -> None:
    """Describe a new route in server/http/openapi/routes, or say in NOT_DESCRIBED why not."""
    assert routes_of(server.app) == {(route.method, route.path) for route in ROUTES}


async def test_the_server_shows_the_document(server: Server) -> None:
    """Its answer is the document, and has an ETag."""
    found = await server.ask("GET", "/openapi.json", status=200)

    assert found == json.loads(json.dumps(openapi_document()))
    async with server.http.get(f"{server.url}/openapi.json") as answer:
        etag = answer.headers["ETag"]
    await server.ask("GET", "/openapi.json", status=304, headers={"If-None-Match": etag})


async def test_answers_about_tasks_are_as_described(server: Server) -> None:
    """Tasks that wait, run, complete and fail; their lists, histories, cancels and retries."""
    ended = [await server.end(body) for body in (MONK, FAILS, TEXT)]
    running = await server.create(STUCK)

    for task_id in (*ended, running):
        await server.ask("GET", TASK, id=task_id, status=200)
        await server.ask("GET", f"{TASK}/events", id=task_id, status=200)
        await server.ask("GET", f"{TASK}/events", id=task_id, query="?after=1&limit=1", status=200)
    page = await server.ask("GET", "/api/tasks", query="?limit=2", status=200)
    query = f"?limit=2&cursor={page['next_cursor']}&status=failed&type=image&model=a&text=b"
    await server.ask("GET", "/api/tasks", query=query, status=200)
    await server.ask("GET", "/api/tasks", query="?owner=", status=200)
    await server.ask("GET", "/api/task_types", status=200)
    await server.ask("POST", f"{TASK}/cancel", id=ended[0], status=200)
    await server.ask("POST", f"{TASK}/cancel", id=running, status=202)
    await server.ask("POST", f"{TASK}/retry", id=ended[1], status=202)
    await server.ask("POST", f"{TASK}/retry", id=ended[0], status=409)


@pytest.mark.parametrize("body", [MONK, FAILS, TEXT], ids=["picture", "failure", "text"])
async def test_the_events_of_a_stream_are_as_described(server: Server, body: Any) -> None:
    """The data of each event match the model of its name."""
    task_id = await server.create(body)
    content = openapi_document()["paths"][STREAM]["get"]["responses"]["200"]["content"]
    assert content["text/event-stream"]["x-events"].keys() == EVENTS.keys()

    async with server.http.get(server.url + STREAM.format(task_id=task_id)) as answer:
        events = (await answer.text()).split("\n\n")

    names = set()
    for event in events:
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        if "event" in fields:
            found = EVENTS[fields["event"]].model_validate_json(fields["data"])
            assert found.model_dump(exclude_unset=True) == json.loads(fields["data"])
            names.add(fields["event"])
    assert names & {"result", "error"}


async def test_refusals_of_tasks_are_as_described(server: Server) -> None:
    """Bodies, keys, queries, types and origins that are not accepted."""
    for name, path in (
        ("GET", TASK),
        ("GET", f"{TASK}/events"),
        ("GET", f"{TASK}/stream"),
        ("POST", f"{TASK}/cancel"),
    ):
        await server.ask(name, path, id=MISSING, status=404)
    await server.ask("POST", f"{TASK}/retry", id=MISSING, status=404)
    for query in ("?limit=0", "?status=x", "?cursor=x", "?type="):
        await server.ask("GET", "/api/tasks", query=query, status=422)
    await server.ask("GET", f"{TASK}/events", id=MISSING, query="?after=-1", status=422)
    as_json = {"Content-Type": "application/json"}
    for body, headers, status in (
        (b"{", as_json, 400),
        (b"[" * 9_000, as_json, 400),
        (b"{}", as_json, 422),
        (b"{}", {}, 415),
        (b"{}", as_json | {"Content-Encoding": "gzip"}, 415),
        (b"{}", as_json | {"Origin": "https://evil.example"}, 403),
        (b"{}", as_json | {"Host": "evil.example"}, 421),
        (b"x" * 300_000, as_json, 413),
        (json.dumps(MONK), as_json | {"Idempotency-Key": "a b"}, 400),
        (json.dumps(MONK), as_json | {"Idempotency-Key": "once"}, 202),
        (json.dumps(MONK), as_json | {"Idempotency-Key": "once"}, 202),
        (json.dumps(STUCK), as_json | {"Idempotency-Key": "once"}, 422),
        (json.dumps(MONK), as_json | {"X-Owner": "user-17"}, 202),
    ):
        await server.ask("POST", "/api/tasks", data=body, headers=headers, status=status)


async def test_answers_about_files_are_as_described(server: Server) -> None:
    """Files that are sent, read, read in part, and not there; and a task that uses one."""
    jpeg, form = {"Content-Type": "image/jpeg"}, {"Content-Type": "multipart/form-data; boundary=a"}
    sent = await server.ask("POST", "/api/files", data=photo(), headers=jpeg, status=201)
    await server.end(edit(sent["id"], data_url(photo(seed=2))))
    name = sent["url"].rpartition("/")[2]
    for headers, status in (
        ({}, 200),
        ({"Range": "bytes=0-9"}, 206),
        ({"Range": "bytes=99999999-"}, 416),
        ({"If-None-Match": f'"{name[:64]}"'}, 304),
        ({"If-Match": '"other"'}, 412),
    ):
        await server.ask("GET", "/files/{name}", id=name, headers=headers, status=status)
    await server.ask("GET", "/files/{name}", id="missing.png", status=404)
    await server.ask("GET", "/files/thumbnails/{name}", id="missing.webp", status=404)
    for body, headers, status in (
        (b"no picture", jpeg, 415),
        (photo()[:200], jpeg, 422),
        (b"", jpeg, 422),
        (photo(), {"Content-Type": "text/plain"}, 415),
        (b"--a--", form, 400),
        (b"--a\r\nA header\r\n\r\n\r\n--a--\r\n", form, 400),
    ):
        await server.ask("POST", "/api/files", data=body, headers=headers, status=status)


async def test_answers_to_backends_are_as_described(server: Server) -> None:
    """What is published, and what is not allowed."""
    message = {"topic": "room:lobby", "event": "new_msg", "payload": {}}
    for body, status in (
        (message, 200),
        ({"messages": [message, message]}, 200),
        ({"messages": []}, 422),
        (message | {"event": "phx_join"}, 422),
        (message | {"topic": "task:1"}, 403),
    ):
        await server.ask("POST", "/api/broadcast", json=body, status=status)


async def test_answers_about_the_server_are_as_described(server: Server) -> None:
    """The index, health, readiness, and a webhook that somebody else sends."""
    for path in ("/", "/healthz", "/readyz", "/api/status", "/metrics"):
        await server.ask("GET", path, status=200)
    await server.ask("POST", "/webhooks/replicate", query="?task=a&tag=b", data=b"{}", status=401)


async def test_without_a_credential_the_answer_is_as_described(tmp_path: Path) -> None:
    """401 from every route that needs one; the others answer."""
    async with open_server(tmp_path, keys={}) as server:
        for route in ROUTES:
            if route.scope is not None or route.needs_credential:
                await server.ask(route.method, route.path, id=MISSING, status=401)
        health = await server.ask("GET", "/healthz", status=200)

    assert health["auth"]["refused"] > 0
