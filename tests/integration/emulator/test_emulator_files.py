"""Files at the emulator, those that models put out and those that clients upload."""

from __future__ import annotations

import aiohttp

from phoenix_compat.emulator.settings import DEFAULT_WEBHOOK_SECRET
from phoenix_compat.emulator.signature import download_signature
from tests.unit.emulator.caller import calling


async def test_data_is_removed_after_an_hour() -> None:
    """Then the prediction says so, and its file is 404."""
    async with calling() as caller:
        created = await caller.create()
        caller.state.clock.advance(60)
        url = (await caller.poll(created)).json["output"]
        caller.state.clock.advance(3600)

        old = await caller.poll(created)

        assert (old.json["data_removed"], old.json["output"]) == (True, None)
        assert (await caller.get(url)).status == 404


async def test_there_is_no_file_before_its_time() -> None:
    """Nobody can guess the file of a prediction that still runs, or of none."""
    async with calling() as caller:
        created = await caller.create()

        early = await caller.get(f"/files/{created.json['id']}-0.jpg")
        unknown = await caller.get("/files/nothing.jpg")

        assert (early.status, unknown.status) == (404, 404)


async def test_files_need_no_token() -> None:
    """The output's host is another one on Replicate; a token there would be a leak."""
    async with calling() as caller:
        created = await caller.create()
        caller.state.clock.advance(60)
        url = (await caller.poll(created)).json["output"]

        async with aiohttp.ClientSession() as stranger, stranger.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "image/jpeg")


async def test_an_upload_can_be_downloaded_with_a_signed_link() -> None:
    """The bytes come back under the owner's signature, and under no other."""
    async with calling() as caller:
        form = aiohttp.FormData()
        form.add_field("content", b"bytes", filename="in.png", content_type="image/png")
        form.add_field("metadata", '{"a": 1}', content_type="application/json")
        uploaded = (await caller.request("POST", "/v1/files", data=form)).json
        expiry = str(int(caller.state.clock.now_s()) + 60)
        signature = download_signature(DEFAULT_WEBHOOK_SECRET, "me", uploaded["id"], expiry)
        link = f"/v1/files/{uploaded['id']}/download"
        query = {"owner": "me", "expiry": expiry, "signature": signature}

        good = await caller.get(link, params=query)
        bad = await caller.get(link, params=query | {"owner": "you"})

        assert (good.body, good.headers["Content-Type"]) == (b"bytes", "image/png")
        assert bad.status == 403
        assert (uploaded["name"], uploaded["metadata"]) == ("in.png", {"a": 1})


async def test_uploads_that_cannot_be() -> None:
    """Too large is 413; no content, no multipart and no boundary are 422."""
    async with calling(max_upload_bytes=10) as caller:
        large, empty = aiohttp.FormData(), aiohttp.FormData()
        large.add_field("content", b"x" * 11, filename="x")
        empty.add_field("metadata", "{}", content_type="application/json")
        bare = {"Content-Type": "multipart/form-data"}

        seen = [
            await caller.request("POST", "/v1/files", data=large),
            await caller.request("POST", "/v1/files", data=empty),
            await caller.request("POST", "/v1/files", data=b"x"),
            await caller.request("POST", "/v1/files", data=b"x", headers=bare),
        ]

        assert [one.status for one in seen] == [413, 422, 422, 422]
