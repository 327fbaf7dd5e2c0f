"""Files of the emulator: outputs of models and uploads of clients."""

from __future__ import annotations

import aiohttp

from phoenix_compat.emulator.settings import DEFAULT_WEBHOOK_SECRET
from phoenix_compat.emulator.signature import download_signature
from tests.unit.emulator.emulator_client import emulator_client


async def test_data_is_removed_after_an_hour() -> None:
    """After an hour `data_removed` is true, and the file gives 404."""
    async with emulator_client() as client:
        created = await client.create()
        client.state.clock.advance(60)
        url = (await client.poll(created)).json["output"]
        client.state.clock.advance(3600)

        old = await client.poll(created)

        assert (old.json["data_removed"], old.json["output"]) == (True, None)
        assert (await client.get(url)).status == 404


async def test_there_is_no_file_before_the_output() -> None:
    """The file of a running prediction and an unknown file give 404."""
    async with emulator_client() as client:
        created = await client.create()

        early = await client.get(f"/files/{created.json['id']}-0.jpg")
        unknown = await client.get("/files/nothing.jpg")

        assert (early.status, unknown.status) == (404, 404)


async def test_files_need_no_token() -> None:
    """Output files need no token, as at Replicate, where another host serves them."""
    async with emulator_client() as client:
        created = await client.create()
        client.state.clock.advance(60)
        url = (await client.poll(created)).json["output"]

        async with aiohttp.ClientSession() as stranger, stranger.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "image/jpeg")


async def test_an_upload_can_be_downloaded_with_a_signed_link() -> None:
    """The download needs the signature for its owner."""
    async with emulator_client() as client:
        form = aiohttp.FormData()
        form.add_field("content", b"bytes", filename="in.png", content_type="image/png")
        form.add_field("metadata", '{"a": 1}', content_type="application/json")
        uploaded = (await client.request("POST", "/v1/files", data=form)).json
        expiry = str(int(client.state.clock.now_s()) + 60)
        signature = download_signature(DEFAULT_WEBHOOK_SECRET, "me", uploaded["id"], expiry)
        link = f"/v1/files/{uploaded['id']}/download"
        query = {"owner": "me", "expiry": expiry, "signature": signature}

        good = await client.get(link, params=query)
        bad = await client.get(link, params=query | {"owner": "you"})

        assert (good.body, good.headers["Content-Type"]) == (b"bytes", "image/png")
        assert bad.status == 403
        assert (uploaded["name"], uploaded["metadata"]) == ("in.png", {"a": 1})


async def test_invalid_uploads_are_refused() -> None:
    """Too large gives 413; a missing content, multipart or boundary gives 422."""
    async with emulator_client(max_upload_bytes=10) as client:
        large, empty = aiohttp.FormData(), aiohttp.FormData()
        large.add_field("content", b"x" * 11, filename="x")
        empty.add_field("metadata", "{}", content_type="application/json")
        bare = {"Content-Type": "multipart/form-data"}

        responses = [
            await client.request("POST", "/v1/files", data=large),
            await client.request("POST", "/v1/files", data=empty),
            await client.request("POST", "/v1/files", data=b"x"),
            await client.request("POST", "/v1/files", data=b"x", headers=bare),
        ]

        assert [one.status for one in responses] == [413, 422, 422, 422]
