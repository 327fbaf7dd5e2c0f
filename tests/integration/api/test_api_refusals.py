"""The HTTP API: every refused request gets a problem document that says what to change."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.integration.api.api_harness import MONK, Client, problem
from tests.integration.worker.worker_harness import WorkerHarness


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"],
)
async def test_another_content_type_is_refused(client: Client, content_type: str) -> None:
    """415 names the accepted type."""
    response = await client.post("/api/tasks", data=b"{}", headers={"Content-Type": content_type})

    document = await problem(response, 415)
    assert "application/json" in document["detail"]
    assert response.headers["Accept-Post"] == "application/json"


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("rest", ["", "/some/cancel", "/some/retry"])
async def test_a_body_without_a_content_type_is_refused(
    client: Client, harness: WorkerHarness, rest: str, is_chunked: bool
) -> None:
    """415 for every body, because any web page can send one without a type. Nothing is stored."""
    response = await client.post(
        f"/api/tasks{rest}",
        data=b'{"input_data": {"type": "image", "prompt": "monk"}}',
        skip_auto_headers=["Content-Type"],
        chunked=is_chunked or None,
    )

    document = await problem(response, 415)
    assert "application/json" in document["detail"]
    assert await harness.store.list() == []


async def test_a_request_without_a_body_needs_no_content_type(
    client: Client, harness: WorkerHarness
) -> None:
    """A cancel needs no body; an empty JSON object is accepted too."""
    first, second = await harness.add(), await harness.add()

    bare = await client.post(f"/api/tasks/{first.id}/cancel", skip_auto_headers=["Content-Type"])
    with_body = await client.post(f"/api/tasks/{second.id}/cancel", json={})

    assert {bare.status, with_body.status} <= {200, 202}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"input_data": NaN}',
        b"[" * 5_000,
        b'{"input_data": {"prompt": "\xff"}}',
        b'{"input_data": {"prompt": "\\ud800"}}',
        b'{"input_data": 1e999}',
    ],
)
async def test_a_body_that_is_not_valid_json_is_refused(
    client: Client, harness: WorkerHarness, body: bytes
) -> None:
    """400, and nothing is stored."""
    headers = {"Content-Type": "application/json"}

    response = await client.post("/api/tasks", data=body, headers=headers)

    await problem(response, 400)
    assert await harness.store.list() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ("text", "body"),
        ({}, "input_data"),
        ({"input_data": None}, "input_data"),
        ({"input_data": []}, "input_data"),
        ({"input_data": {}}, "input_data.type"),
        ({"input_data": {"type": "opera", "prompt": "x"}}, "input_data.type"),
        ({"input_data": {"type": "image"}}, "input_data.prompt"),
        ({"input_data": {"type": "image", "prompt": " "}}, "input_data.prompt"),
        ({"input_data": {"type": "image", "prompt": 5}}, "input_data.prompt"),
        ({"input_data": {"type": "image", "prompt": "x" * 10_001}}, "input_data.prompt"),
        ({"input_data": {"type": "image", "prompt": "x", "model": "x"}}, "input_data.model"),
        ({"input_data": {"type": "image", "prompt": "x", "seed": "1"}}, "input_data.seed"),
    ],
)
async def test_an_invalid_task_names_the_field(
    client: Client, harness: WorkerHarness, body: object, field: str
) -> None:
    """422 names the invalid field, and nothing is stored."""
    response = await client.post("/api/tasks", json=body)

    document = await problem(response, 422)
    assert document["field"] == field
    assert document["errors"][0]["field"] == field
    assert await harness.store.list() == []


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_too_large_is_refused(client: Client, is_chunked: bool) -> None:
    """413, with and without a Content-Length."""
    response = await client.post(
        "/api/tasks",
        data=b'"' + b"x" * 30_000,
        headers={"Content-Type": "application/json"},
        chunked=is_chunked or None,
    )

    await problem(response, 413)


@pytest.mark.parametrize("rest", ["", "/events"])
async def test_an_unknown_task_is_not_found(client: Client, rest: str) -> None:
    """404 for a task that does not exist."""
    document = await problem(await client.get(f"/api/tasks/no-such{rest}"), 404)

    assert document["type"].endswith(":task-not-found")


@pytest.mark.parametrize(
    "task_id", ["%00", "%2e%2e", "'%20OR%201=1--", "a" * 2_000, "%F0%9F%90%98", "%ff"]
)
async def test_any_id_can_be_requested(client: Client, task_id: str) -> None:
    """Every unknown id gets a 404."""
    response = await client.get(f"/api/tasks/{task_id}")

    assert response.status == 404


async def test_an_unknown_path_is_a_problem(client: Client) -> None:
    """404 under /api is a problem document; outside it is unchanged."""
    document = await problem(await client.get("/api/nothing"), 404)

    assert document["type"].endswith(":not-found")
    assert (await client.get("/elsewhere")).content_type == "text/plain"


async def test_a_wrong_method_gets_the_allowed_ones(client: Client) -> None:
    """405 names the allowed methods."""
    response = await client.delete("/api/tasks")

    await problem(response, 405)
    assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


async def test_a_redirect_is_not_a_problem(client: Client) -> None:
    """Only errors become problem documents."""
    response = await client.get("/api/moved", allow_redirects=False)

    assert (response.status, response.headers["Location"]) == (302, "/elsewhere")


async def test_a_crash_reveals_nothing(client: Client) -> None:
    """500 is one sentence; the traceback stays in the log."""
    response = await client.get("/api/crash")

    document = await problem(response, 500)
    assert "secret" not in str(document)


async def test_a_locked_database_is_a_503(client: Client, tmp_path: Path) -> None:
    """A task that cannot be stored is not accepted, and the client is told when to try again."""
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    response = await client.post("/api/tasks", json=MONK)

    await problem(response, 503)
    assert response.headers["Retry-After"] == "2"
    other.execute("ROLLBACK")
    other.close()
    assert (await client.post("/api/tasks", json=MONK)).status == 202


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=done", "status"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("cursor=-1", "cursor"),
        ("cursor=99999999999999999999", "cursor"),
    ],
)
async def test_a_bad_query_names_the_field(client: Client, query: str, field: str) -> None:
    """422 for an invalid status, limit or cursor."""
    document = await problem(await client.get(f"/api/tasks?{query}"), 422)

    assert document["field"] == field


async def test_only_a_failed_task_can_be_retried(client: Client, harness: WorkerHarness) -> None:
    """409 for a task that runs, 404 for an unknown one; nothing changes."""
    task = await harness.add()

    document = await problem(await client.post(f"/api/tasks/{task.id}/retry"), 409)

    assert document["type"].endswith(":not-failed")
    assert "processing" in document["detail"]
    assert await harness.now(task) == task
    await problem(await client.post("/api/tasks/no-such/retry"), 404)
