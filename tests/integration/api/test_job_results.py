"""The main job with archived files, retries, repeated posts, other models and task types."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.integration.task_server import SPEED, product, settings_for
from tests.integration.worker.worker_harness import FAST


async def test_with_a_public_url_the_picture_is_the_archived_copy(tmp_path: Path) -> None:
    """`image_url` names this server, which keeps the file when the provider has deleted it."""
    settings = settings_for(tmp_path, public_url="https://pictures.example")
    async with product(settings) as client:
        last = await client.ended(await client.post())

        url = urlsplit(last["result_data"]["image_url"])
        async with aiohttp.request("GET", f"{client.url}{url.path}") as answer:
            archived = await answer.read()

        assert (url.netloc, answer.status) == ("pictures.example", 200)
        assert [path.read_bytes() for path in (tmp_path / "files").rglob("*.jpg")] == [archived]


async def test_a_failed_task_can_be_retried(tmp_path: Path) -> None:
    """A retry runs the same task again; clients that join meanwhile do not get the failure."""
    async with product(settings_for(tmp_path), FAST) as client:
        task_id = await client.post("#fault:E005x1")
        assert (await client.ended(task_id))["status"] == "failed"

        status, _ = await client.request("POST", f"/api/tasks/{task_id}/retry")

        received = await client.follow(task_id)
        assert status == 202
        assert received[0]["status"] != "failed"
        assert received[-1]["status"] == "completed"


async def test_a_post_sent_twice_is_one_task(tmp_path: Path) -> None:
    """The same Idempotency-Key gets the same task; with another body it is refused."""
    body = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
    headers = {"Idempotency-Key": "key-1"}
    async with product(settings_for(tmp_path)) as client:
        _, first = await client.request("POST", "/api/tasks", json=body, headers=headers)

        again, second = await client.request("POST", "/api/tasks", json=body, headers=headers)
        body["input_data"]["prompt"] = "Medieval nun"
        other, problem = await client.request("POST", "/api/tasks", json=body, headers=headers)

        assert (again, second["task_id"]) == (202, first["task_id"])
        assert (other, problem["status"]) == (422, 422)


async def test_a_model_that_is_gone_is_replaced(tmp_path: Path) -> None:
    """The next of the `fallback_models` runs, and the result names it."""
    settings = settings_for(
        tmp_path,
        default_model="emulated/disabled",
        fallback_models=("black-forest-labs/flux-schnell",),
    )
    async with product(settings, FAST) as client:
        last = await client.ended(await client.post())

        assert last["status"] == "completed"
        assert last["result_data"]["model"] == "black-forest-labs/flux-schnell"


async def test_the_operator_adds_a_task_type_without_code(tmp_path: Path) -> None:
    """A type from `task_types_file` runs its model; its result names all outputs."""
    task_types = tmp_path / "task_types.toml"
    task_types.write_text(
        '[poster]\ntask_type = "poster_gen"\ndefault_model = "black-forest-labs/flux-schnell"\n'
        'result = "file"\n'
    )
    async with product(settings_for(tmp_path, task_types_file=task_types)) as client:
        task_id = await client.post(type="poster")

        last = await client.ended(task_id)

        assert last["status"] == "completed"
        assert last["result_data"]["output_urls"]


async def test_webhooks_are_on_with_a_token_and_a_public_https_address(tmp_path: Path) -> None:
    """The provider gets a webhook URL; a webhook without the task's tag is refused."""
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            tmp_path,
            replicate_api_token="r8_test",
            replicate_base_url=replicate.base_url,
            public_url="https://pictures.example",
            file_hosts=(replicate.origin,),
        )
        async with product(settings) as client:
            last = await client.ended(await client.post())

            forged, _ = await client.request("POST", "/webhooks/replicate?task=1&tag=2", data=b"{}")

        assert last["status"] == "completed"
        assert forged == 401


async def test_readyz_shows_the_state_of_the_provider(tmp_path: Path) -> None:
    """`/readyz` is 200 while predictions can be created, and 503 once the account is refused."""
    async with product(settings_for(tmp_path), FAST) as client:
        before, _ = await client.request("GET", "/readyz")
        await client.ended(await client.post("#fault:401"))

        after, state = await client.request("GET", "/readyz")

        assert (before, after) == (200, 503)
        assert state["provider"]["reason"] == "provider_account"


@pytest.mark.parametrize("model", ["deployments/me/mine", " Deployments/me/mine "])
async def test_a_deployment_runs(tmp_path: Path, model: str) -> None:
    """C15: the create goes to the deployment's own path; the task names it as its model."""
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            tmp_path,
            replicate_api_token="r8_test",
            replicate_base_url=replicate.base_url,
            file_hosts=(replicate.origin,),
            allowed_models=("google/*", "deployments/me/mine"),
        )
        async with product(settings) as client:
            task_id = await client.post(model=model)
            last = await client.ended(task_id)
            _, shown = await client.request("GET", f"/api/tasks/{task_id}")
            other = {"type": "image", "prompt": "monk", "model": "deployments/me/other"}
            refused, _ = await client.request("POST", "/api/tasks", json={"input_data": other})

        assert last["status"] == "completed"
        assert shown["model"] == "deployments/me/mine"
        assert [prediction.deployment for prediction in replicate.state.predictions] == ["me/mine"]
        assert refused == 403


@pytest.mark.parametrize(
    "model", ["deployments/me", "deployments/me/mine:1", "deployments/me/mine/x", "deployments//x"]
)
async def test_other_names_with_slashes_are_refused(tmp_path: Path, model: str) -> None:
    """C15: `deployments/me` is the name of a model; the others are none at all."""
    async with product(settings_for(tmp_path)) as client:
        task = {"type": "image", "prompt": "monk", "model": model}
        status, _ = await client.request("POST", "/api/tasks", json={"input_data": task})

        assert status == (202 if model == "deployments/me" else 422)
