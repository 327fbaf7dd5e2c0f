"""How the provider gets the files of a task: inline, as copies, or as links to this server."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.server.process.settings import Settings
from tests.integration.task_server import SPEED, Client, product, settings_for
from tests.integration.task_types.edited import assert_edit_of
from tests.integration.uploads.photo import data_url, edit, photo
from tests.integration.uploads.test_inline import send

LARGE = 700
"""The side of a photo of more than 256 kB, in pixels."""


@asynccontextmanager
async def server(folder: Path, **fields: Any) -> AsyncIterator[tuple[Client, Emulator]]:
    """The server, and Replicate."""
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            folder, replicate_api_token="r8_test", replicate_base_url=replicate.base_url, **fields
        )
        async with product(settings) as client:
            yield client, replicate


async def done(client: Client, *images: str, prompt: str = "Make it a painting") -> str:
    """Run a task to its end; returns its status."""
    status, task = await send(client, edit(*images, prompt=prompt))
    assert status == 202, task
    return str((await client.ended(task["task_id"]))["status"])


def sent_images(replicate: Emulator) -> list[Any]:
    return [one.input["image_input"] for one in replicate.state.predictions]


async def test_small_photos_are_sent_inline(tmp_path: Path) -> None:
    """The provider stores nothing."""
    async with server(tmp_path) as (client, replicate):
        assert await done(client, data_url(photo())) == "completed"

        assert sent_images(replicate) == [[data_url(photo())]]
        assert replicate.state.uploads.newest_first() == []


async def test_a_large_photo_is_sent_once(tmp_path: Path) -> None:
    """Two tasks at once, and one after a restart, use the same copy."""
    image = data_url(photo(LARGE))
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            tmp_path, replicate_api_token="r8_test", replicate_base_url=replicate.base_url
        )
        async with product(settings) as client:
            both = await asyncio.gather(done(client, image), done(client, image, prompt="Other"))
        async with product(settings) as client:
            again = await done(client, image)

        copies = replicate.state.uploads.newest_first()
        images = sent_images(replicate)

    assert [*both, again] == ["completed"] * 3
    assert [one.content for one in copies] == [photo(LARGE)]
    assert images == [images[0]] * 3


async def test_a_copy_that_is_gone_is_sent_again(tmp_path: Path) -> None:
    """The provider deletes copies; the next task gets a new one."""
    image = data_url(photo(LARGE))
    async with server(tmp_path) as (client, replicate):
        await done(client, image)
        (first,) = replicate.state.uploads.newest_first()
        replicate.state.uploads.remove(first.id)

        assert await done(client, image) == "completed"

        (second,) = replicate.state.uploads.newest_first()
        assert second.id != first.id
        assert second.id in sent_images(replicate)[-1][0]


async def test_a_copy_that_has_expired_is_sent_again(tmp_path: Path) -> None:
    """The provider's clock is what counts."""
    image = data_url(photo(LARGE))
    async with server(tmp_path) as (client, replicate):
        await done(client, image)
        replicate.state.clock.advance(25 * 3_600)

        assert await done(client, image) == "completed"

        first, second = (one[0] for one in sent_images(replicate))
        assert first != second


async def test_links_instead_of_copies(tmp_path: Path) -> None:
    """With `send_inputs_as_links` large files stay here, and the link has their hash."""
    fields = {"public_url": "https://pictures.example", "send_inputs_as_links": True}
    async with server(tmp_path, **fields) as (client, replicate):
        assert await done(client, data_url(photo()), data_url(photo(LARGE))) == "completed"

        sha256 = hashlib.sha256(photo(LARGE)).hexdigest()
        link = f"https://pictures.example/files/{sha256}.jpg"
        assert sent_images(replicate) == [[data_url(photo()), link]]
        assert replicate.state.uploads.newest_first() == []


@pytest.mark.parametrize("public_url", [None, "http://pictures.example"])
def test_links_need_an_address(public_url: str | None) -> None:
    """Without a public https address the setting is refused."""
    with pytest.raises(ValueError, match="https://"):
        Settings(public_url=public_url, send_inputs_as_links=True)


@pytest.mark.parametrize("side_px", [64, LARGE])
@pytest.mark.parametrize("links", [False, True])
async def test_a_lost_create_is_recognised(tmp_path: Path, side_px: int, *, links: bool) -> None:
    """The answer is lost, the prediction is found by its files, none is created twice (C9)."""
    fields: dict[str, Any] = {}
    if links:
        fields = {"public_url": "https://pictures.example", "send_inputs_as_links": True}
    prompt = "Make it a painting #fault:reset_after"
    async with server(tmp_path, **fields) as (client, replicate):
        webhookless = replicate.state.predictions
        ended = await done(client, data_url(photo(side_px)), prompt=prompt)

        assert ended == "completed"
        assert len(webhookless) == 1


async def test_a_file_that_was_pruned_fails_its_task(tmp_path: Path) -> None:
    """The task says which input to send again; nothing is created."""
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            tmp_path, replicate_api_token="r8_test", replicate_base_url=replicate.base_url
        )
        replicate.state.clock.scale(0.0)
        async with product(settings_for(tmp_path, **_held(settings))) as client:
            status, running = await send(client, edit(data_url(photo())))
            assert status == 202
            status, waiting = await send(client, edit(data_url(photo(seed=2))))
            assert status == 202
            for path in (tmp_path / "files").glob("??/??/*"):
                path.unlink()
            replicate.state.clock.scale(1.0)
            await client.ended(running["task_id"])

            failed = await client.ended(waiting["task_id"])

    assert failed["error_data"]["code"] == "invalid_input"
    assert "input_data.image_input.0" in failed["error_data"]["error"]
    assert len(replicate.state.predictions) == 1


def _held(settings: Settings) -> dict[str, Any]:
    """Settings with which one task runs at a time."""
    return {
        "replicate_api_token": settings.replicate_api_token,
        "replicate_base_url": settings.replicate_base_url,
        "concurrency": 1,
    }


@pytest.mark.parametrize("way", ["bytes", "form", "inline"])
async def test_twelve_megapixels_go_all_the_way(tmp_path: Path, way: str) -> None:
    """A photo of a phone is sent, and comes back edited, by all three ways."""
    content = await asyncio.to_thread(_twelve_megapixels)
    assert 2_000_000 < len(content) < 9_000_000
    async with server(tmp_path) as (client, replicate):
        if way == "inline":
            image = data_url(content)
        else:
            data, headers = io.BytesIO(content), {"Content-Type": "image/jpeg"}
            form = aiohttp.FormData({"file": data})
            more: dict[str, Any] = {"data": form} if way == "form" else {"data": data}
            more |= {} if way == "form" else {"headers": headers}
            status, file = await client.request("POST", "/api/files", **more)
            assert status == 201, file
            image = file["id"]
        inputs = {"type": "edit", "prompt": "Make it a painting", "image": image}
        status, task = await send(client, {"input_data": inputs})
        assert status == 202, task
        ended = await client.ended(task["task_id"])
        (copy,) = replicate.state.uploads.newest_first()
        async with aiohttp.request("GET", ended["result_data"]["image_url"]) as answer:
            edited = await answer.read()

    assert copy.content == content
    await asyncio.to_thread(assert_edit_of, content, edited)


def _twelve_megapixels() -> bytes:
    noise = Image.effect_noise((1_008, 756), 40).resize((4_032, 3_024))
    buffer = io.BytesIO()
    Image.merge("RGB", (noise, noise.rotate(180), noise)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
