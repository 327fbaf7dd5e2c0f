"""Predictions of the emulator with files in their inputs, over HTTP."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.integration.uploads.photo import data_url, photo
from tests.unit.emulator.emulator_client import EmulatorClient, Response, emulator_client

NANO_BANANA = "/v1/models/google/nano-banana/predictions"
UPSCALE = "/v1/models/topazlabs/image-upscale/predictions"
CHAT = "/v1/models/openai/gpt-4o-mini/predictions"


async def upload(client: EmulatorClient, content: bytes) -> str:
    """Send a file; returns its address."""
    form = aiohttp.FormData()
    form.add_field("content", content, filename="a.jpg", content_type="image/jpeg")
    response = await client.request("POST", "/v1/files", data=form)
    assert response.status == 201
    return str(response.json["urls"]["get"])


async def ended(client: EmulatorClient, created: Response) -> Any:
    """The prediction after its end."""
    assert created.status == 201
    client.state.clock.advance(60)
    return (await client.poll(created)).json


async def picture(client: EmulatorClient, url: str) -> Image.Image:
    response = await client.get(url)
    assert response.status == 200
    return Image.open(io.BytesIO(response.body))


async def test_an_uploaded_photo_is_enlarged() -> None:
    """By the address that the upload was answered with."""
    async with emulator_client() as client:
        image = await upload(client, photo(80))
        given = {"image": image, "upscale_factor": "4x", "output_format": "png"}

        prediction = await ended(client, await client.create(path=UPSCALE, given=given))

        result = await picture(client, prediction["output"])
        assert (result.format, result.size) == ("PNG", (320, 320))


async def test_the_file_of_another_server_is_not_fetched() -> None:
    """The model goes on with a picture of the emulator's own."""
    async with emulator_client() as client:
        given = {"image_input": ["http://127.0.0.1:1/private.jpg"]}

        prediction = await ended(client, await client.create(path=NANO_BANANA, given=given))

        assert prediction["status"] == "succeeded"
        assert (await picture(client, prediction["output"])).size == (1024, 768)


async def test_a_picture_is_changed_once() -> None:
    """Requests that come together and later ones get the same bytes."""
    async with emulator_client() as client:
        given = {"image_input": [data_url(photo(80))]}
        prediction = await ended(client, await client.create(path=NANO_BANANA, given=given))

        answers = await asyncio.gather(*(client.get(prediction["output"]) for _ in range(3)))

        assert len({one.body for one in answers}) == 1


@pytest.mark.parametrize(
    ("path", "given", "error"),
    [
        (NANO_BANANA, {"image_input": [data_url(b"no picture")]}, "cannot identify image file"),
        (UPSCALE, {"image": "http://127.0.0.1/v1/files/" + "0" * 26}, "404 Client Error"),
        (CHAT, {"image_input": ["photo.jpg"]}, "Does not match format 'uri'"),
    ],
)
async def test_an_unreadable_file_fails_the_prediction(
    path: str, given: dict[str, Any], error: str
) -> None:
    """The create is answered with 201, as at Replicate, and the error comes later."""
    async with emulator_client() as client:
        prediction = await ended(client, await client.create(path=path, given=given))

        assert prediction["status"] == "failed"
        assert prediction["error"].startswith(error)
        assert prediction["output"] is None


async def test_a_broken_photo_gives_a_picture() -> None:
    """A photo that is cut off is noticed only when it is drawn; the file is still a picture."""
    async with emulator_client() as client:
        given = {"image_input": [data_url(photo(300)[:2_000])]}

        prediction = await ended(client, await client.create(path=NANO_BANANA, given=given))

        assert (await picture(client, prediction["output"])).format == "JPEG"


async def test_texts_about_files_survive_a_restart(tmp_path: Path) -> None:
    """Uploads do not: a text is as it was, and an edit shows another picture."""
    state_file = tmp_path / "emulator.jsonl"
    async with emulator_client(state_file=state_file, is_running=True) as client:
        image = [await upload(client, photo(80))]
        text = await client.create(path=CHAT, given={"image_input": image})
        edit = await client.create(path=NANO_BANANA, given={"image_input": image})
    async with emulator_client(state_file=state_file) as client:
        client.state.clock.advance(60)
        written = await client.get(f"/v1/predictions/{text.json['id']}")
        edited = await client.get(f"/v1/predictions/{edit.json['id']}")

        assert "a picture of 80 by 80 pixels, mostly grey" in "".join(written.json["output"])
        assert (await picture(client, edited.json["output"])).size == (1024, 768)


@pytest.mark.parametrize(
    ("deployment", "model"),
    [("me/nano-banana", "google/nano-banana"), ("me/mine", "google/imagen-4-fast")],
)
async def test_a_deployment_runs_the_model_of_its_name(deployment: str, model: str) -> None:
    """Or the default one, because nobody has put a model there."""
    async with emulator_client() as client:
        created = await client.create(path=f"/v1/deployments/{deployment}/predictions")

        assert (created.json["model"], created.json["deployment"]) == (model, deployment)
