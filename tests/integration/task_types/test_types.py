"""Each packaged task type on the whole server: what is sent, what the channel says, the result."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from phoenix_compat.emulator.pictures.film import FRAMES
from tests.integration.outputs.text_client import ShownText, TextClient
from tests.integration.task_server import Client, product, settings_for
from tests.integration.task_types.edited import assert_edit_of
from tests.integration.uploads.photo import data_url, photo

PHOTO = photo(300)
READING_SPEED = 6.0
"""At this speed of the emulator a text comes in several parts."""


def red_on_white() -> bytes:
    """A product on a plain background."""
    picture = Image.new("RGB", (240, 160), "white")
    picture.paste((200, 30, 30), (80, 40, 160, 120))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def recording(seconds: float = 2.0) -> bytes:
    """A WAV file of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(bytes(int(seconds * 16_000)))
    return buffer.getvalue()


@dataclass(frozen=True)
class App:
    """A client of a server with its own emulator."""

    client: Client
    http: aiohttp.ClientSession

    async def upload(self, content: bytes, content_type: str = "image/jpeg") -> str:
        """Send a file; returns its id."""
        status, file = await self.client.request(
            "POST", "/api/files", data=io.BytesIO(content), headers={"Content-Type": content_type}
        )
        assert status == 201, file
        return str(file["id"])

    async def run(self, type_: str, **inputs: Any) -> dict[str, Any]:
        """Run a task to its end; returns its `result_data`."""
        ended = await self.client.ended(await self._post(type_, inputs))
        assert ended["status"] == "completed", ended
        return dict(ended["result_data"])

    async def write(self, type_: str, **inputs: Any) -> ShownText:
        """Run a task that writes a text, and read it while it is written."""
        text_client = TextClient(self.client.url, await self._post(type_, inputs))
        await text_client.join()
        return await text_client.to_the_end()

    async def _post(self, type_: str, inputs: dict[str, Any]) -> str:
        return await self.client.post(**{"prompt": "", "type": type_, **inputs})

    async def file(self, url: str) -> bytes:
        """The file of a result."""
        path = url.partition("/files/")[2]
        async with self.http.get(f"{self.client.url}/files/{path}") as answer:
            assert answer.status == 200
            return await answer.read()


@asynccontextmanager
async def app(folder: Path, **fields: Any) -> AsyncIterator[App]:
    """The server as somebody runs it who has no account."""
    async with (
        product(settings_for(folder, **fields)) as client,
        aiohttp.ClientSession() as http,
    ):
        yield App(client, http)


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


async def test_a_photo_is_edited(tmp_path: Path) -> None:
    """The result is the uploaded photo with a change; the model can be another one."""
    async with app(tmp_path) as server:
        image = await server.upload(PHOTO)

        result = await server.run("edit", prompt="Make it snow", image=image)
        kontext = {"model": "black-forest-labs/flux-kontext-pro", "image": [image]}
        other = await server.run("edit", prompt="Make it snow", **kontext)

        assert (result["model"], other["model"]) == ("google/nano-banana", kontext["model"])
        assert result["image_urls"] == [result["image_url"]]
        assert_edit_of(PHOTO, await server.file(result["image_url"]))
        assert_edit_of(PHOTO, await server.file(other["image_url"]))


async def test_a_result_is_enlarged_and_cut_out(tmp_path: Path) -> None:
    """The address of a result is the input of the next task, also below `public_url`."""
    fields = {"public_url": "https://pictures.example", "send_inputs_as_links": True}
    async with app(tmp_path, **fields) as server:
        edited = await server.run("edit", prompt="Make it snow", image=data_url(PHOTO))
        assert edited["image_url"].startswith("https://pictures.example/files/")

        larger = await server.run("upscale", image=edited["image_url"])
        four = {"model": "nightmareai/real-esrgan", "scale": 4}
        largest = await server.run("upscale", image=edited["image_url"], **four)

        sizes = [
            opened(await server.file(one["image_url"])).size for one in (edited, larger, largest)
        ]
        assert sizes == [(300, 300), (600, 600), (1_200, 1_200)]


async def test_a_large_photo_is_edited_by_its_link(tmp_path: Path) -> None:
    """What the provider gets as a link to this server is that photo."""
    content = photo(700)
    assert len(content) > 256_000
    fields = {"public_url": "https://pictures.example", "send_inputs_as_links": True}
    async with app(tmp_path, **fields) as server:
        image = await server.upload(content)

        result = await server.run("edit", prompt="Make it snow", image=image)

        assert_edit_of(content, await server.file(result["image_url"]))


async def test_a_background_is_removed(tmp_path: Path) -> None:
    """The result is a PNG, transparent where the background was."""
    async with app(tmp_path) as server:
        image = await server.upload(red_on_white(), "image/png")

        result = await server.run("remove_background", image=image)

        picture = opened(await server.file(result["image_url"]))
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGBA", (240, 160))
        alpha = picture.getchannel("A")
        assert (alpha.getpixel((3, 3)), alpha.getpixel((120, 80))) == (0, 255)


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        ("describe", "You sent a picture of 240 by 160 pixels, mostly white, and asked: Describe"),
        ("transcribe", "This recording is WAV of 2.0 s. The emulator cannot hear, so it"),
        ("chat", "You asked about: the moon. This answer comes from an emulator"),
    ],
)
async def test_a_text_is_written(tmp_path: Path, type_: str, words: str) -> None:
    """It comes word by word in `output`, and the result is the whole text."""
    async with app(tmp_path, emulator_speed=READING_SPEED) as server:
        image = await server.upload(red_on_white(), "image/png")
        audio = await server.upload(recording(), "audio/wav")
        inputs = {
            "describe": {"image": image},
            "transcribe": {"audio": audio, "language": "de"},
            "chat": {"prompt": "the moon"},
        }

        shown = await server.write(type_, **inputs[type_])

    assert shown.result.startswith(words)
    assert shown.text == shown.result
    assert len(shown.events) >= 3
    result = shown.progress[-1]["result_data"]
    assert set(result) == {
        *("text", "model", "provider", "prediction_id", "created_at", "completed_at"),
    }


async def test_a_transcription_may_be_an_object(tmp_path: Path) -> None:
    """Whisper answers at its end, with the text among other things; clients get the text alone."""
    async with app(tmp_path) as server:
        audio = await server.upload(recording(), "audio/wav")

        shown = await server.write("transcribe", audio=audio, model="openai/whisper")

    assert shown.result.startswith("This recording is WAV of 2.0 s.")
    assert shown.texts == [shown.result]


async def test_a_chat_sees_pictures(tmp_path: Path) -> None:
    """With an image it is about the image."""
    async with app(tmp_path) as server:
        inputs = {"prompt": "What is it?", "image": [data_url(PHOTO)], "max_tokens": 12}

        shown = await server.write("chat", **inputs)

    assert shown.result.startswith("You sent a picture of 300 by 300 pixels, mostly ")
    assert len(shown.result.split()) == 12


async def test_a_file_that_a_model_cannot_read_fails_the_task(tmp_path: Path) -> None:
    """The server cannot know it before; the model says it."""
    async with app(tmp_path) as server:
        audio = await server.upload(recording(), "audio/wav")
        task_id = await server.client.post("Snow", type="edit", image=audio)

        ended = await server.client.ended(task_id)

    assert ended["status"] == "failed"
    assert ended["error_data"]["code"] == "model_failed"


async def test_a_photo_becomes_a_video(tmp_path: Path) -> None:
    """It moves; without a photo it shows a drawn picture."""
    async with app(tmp_path) as server:
        of_photo = await server.run("video", prompt="Zoom", image=data_url(PHOTO))
        drawn = await server.run("video", prompt="Medieval monk", aspect_ratio="9:16")

        films = [opened(await server.file(one["output_urls"][0])) for one in (of_photo, drawn)]
    assert [(film.format, film.size) for film in films] == [
        ("WEBP", (480, 480)),
        ("WEBP", (270, 480)),
    ]
    assert all(getattr(film, "n_frames", 1) == FRAMES for film in films)


async def test_a_text_is_said(tmp_path: Path) -> None:
    """The file is a recording that grows with the text."""
    async with app(tmp_path) as server:
        result = await server.run("audio", text="Once upon a time")

        content = await server.file(result["output_urls"][0])
    with wave.open(io.BytesIO(content)) as recorded:
        assert recorded.getnframes() / recorded.getframerate() == pytest.approx(4 * 0.28)


GONE = """
[edit]
task_type = "image_edit"
default_model = "emulated/disabled"
fallback_models = ["black-forest-labs/flux-kontext-pro"]
result = "image"
required_inputs = ["image"]
"""


async def test_a_fallback_model_gets_its_own_names(tmp_path: Path) -> None:
    """When the model is gone, the next one edits the photo, under its own name of the input."""
    own = tmp_path / "own.toml"
    own.write_text(GONE)
    async with app(tmp_path, task_types_file=own) as server:
        result = await server.run("edit", prompt="Make it snow", image=data_url(PHOTO))

        assert result["model"] == "black-forest-labs/flux-kontext-pro"
        assert_edit_of(PHOTO, await server.file(result["image_url"]))
