"""The main job with faults of the provider: each ends its task with a code, and no more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.task_server import product, settings_for
from tests.integration.worker.worker_harness import FAST

CODES = {
    "401": "provider_account",
    "403": "provider_account",
    "404": "model_unavailable",
    "422": "invalid_input",
    "500": "provider_unavailable",
    "502": "provider_unavailable",
    "503": "provider_unavailable",
    "reset": "unknown_outcome",
    "json_list": "provider_unavailable",
    "html_200": "unknown_outcome",
    "E005": "content_policy",
    "output_null": "empty_output",
}


async def test_every_kind_of_refusal_has_its_code(tmp_path: Path) -> None:
    """Each fault ends its task as failed with a stable code; the next task succeeds."""
    async with product(settings_for(tmp_path, concurrency=50), FAST) as client:
        ids = {fault: await client.post(f"#fault:{fault}") for fault in CODES}

        ends = await asyncio.gather(*(client.ended(task_id) for task_id in ids.values()))

        assert dict(zip(ids, (end["error_data"]["code"] for end in ends), strict=True)) == CODES
        assert (await client.ended(await client.post()))["status"] == "completed"


@pytest.mark.parametrize("fault", ["429x2", "429_bodyx1", "resetx1", "500x1", "poll_500x3"])
async def test_a_temporary_fault_is_waited_for(tmp_path: Path, fault: str) -> None:
    """A temporary fault delays the task but does not fail it."""
    async with product(settings_for(tmp_path), FAST) as client:
        task_id = await client.post(f"#fault:{fault}")

        last = await client.ended(task_id)

        assert last["status"] == "completed"


async def test_clients_do_not_see_billing_messages(tmp_path: Path) -> None:
    """A task that waits because of a 402 tells clients nothing of the provider's text."""
    async with product(settings_for(tmp_path), FAST) as client:
        task_id = await client.post("#fault:402")
        while (await client.request("GET", "/readyz"))[1]["provider"]["circuit"] == "closed":  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)

        _, waiting = await client.request("GET", f"/api/tasks/{task_id}")
        await client.request("POST", f"/api/tasks/{task_id}/cancel")
        text = str(waiting) + str(await client.ended(task_id))

        assert waiting["status"] == "processing"
        assert "replicate.com" not in text
        assert "billing" not in text.lower()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ("{", 400, None),
        ("[]", 422, "body"),
        ("{}", 422, "input_data"),
        ('{"input_data": {"type": "image"}}', 422, "input_data.prompt"),
        ('{"input_data": {"type": "image", "prompt": ""}}', 422, "input_data.prompt"),
        ('{"input_data": {"type": "song", "prompt": "x"}}', 422, "input_data.type"),
        ('{"input_data": {"prompt": "x"}}', 422, "input_data.type"),
    ],
)
async def test_an_invalid_post_is_refused_and_nothing_is_stored(
    tmp_path: Path, body: str, status: int, field: str | None
) -> None:
    """An invalid POST gets a problem document that names the field; the list stays empty."""
    async with product(settings_for(tmp_path)) as client:
        headers = {"Content-Type": "application/json"}

        answered, problem = await client.request("POST", "/api/tasks", data=body, headers=headers)

        assert (answered, problem["status"]) == (status, status)
        assert [error["field"] for error in problem.get("errors", [])][:1] == (
            [field] if field else []
        )
        assert (await client.request("GET", "/api/tasks"))[1]["tasks"] == []
