"""Results link to this server's copies, by the address that each client uses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.integration.task_server import Client, Watch, product, settings_for
from tests.wire import V2, PatientClient, PhoenixWire


class Guest:
    """A client that reaches the server by a name of its own."""

    def __init__(self, client: Client, name: str, *headers: tuple[str, str]) -> None:
        self.base = f"http://{name}:{urlsplit(client.url).port}"
        self._url = client.url
        self._headers = [("Host", urlsplit(self.base).netloc), *headers]

    async def watch(self, task_id: str) -> Watch:
        """Join the task's channel over a websocket."""
        return Watch(await self._joined(task_id), f"task:{task_id}")

    async def status(self, task_id: str) -> Any:
        """The reply to the event `status`."""
        wire = await self._joined(task_id)
        await wire.recv()
        await wire.send(["1", "2", f"task:{task_id}", "status", {}])
        reply: Any = await wire.recv()
        await wire.close()
        return reply[4]["response"]

    async def get(self, path: str, method: str = "GET") -> Any:
        """The JSON of a response."""
        async with aiohttp.request(method, self._url + path, headers=self._headers) as answer:
            return await answer.json(content_type=None)

    async def poll(self, task_id: str) -> Any:
        """What a joined client of long-polling gets first."""
        target = "/socket/longpoll?vsn=2.0.0"
        session = f"{target}&token={(await self.get(target))['token']}"
        join = json.dumps(["1", "1", f"task:{task_id}", "phx_join", {}])
        headers = {**dict(self._headers), "Content-Type": "application/x-ndjson"}
        async with aiohttp.request("POST", self._url + session, data=join, headers=headers):
            messages = (await self.get(session))["messages"]
        return json.loads(messages[1])[4]

    async def _joined(self, task_id: str) -> PhoenixWire:
        client = await PatientClient.connect(self._url)
        [(_, host), *extra] = self._headers
        response = await client.handshake(V2, {"Host": host}, extra)
        assert response.status == 101, response
        wire = PhoenixWire(client)
        await wire.join(f"task:{task_id}")
        return wire


def base_of(task: Mapping[str, Any]) -> str:
    """Scheme, host and port of all links of a result, which must be the same."""
    result = task["result_data"]
    links = [urlsplit(link) for link in (result["image_url"], *result["image_urls"])]
    assert all(link.path.startswith("/files/") for link in links)
    [base] = {f"{link.scheme}://{link.netloc}" for link in links}
    return base


async def test_every_client_gets_links_by_the_address_that_it_uses(tmp_path: Path) -> None:
    """A5: without `public_url`, at the change and afterwards, on the channel and over HTTP; this
    server serves the file."""
    async with product(settings_for(tmp_path, emulator_speed=2.0)) as client:
        guests = [Guest(client, name) for name in ("127.0.0.1", "localhost", "mac.localhost")] * 2
        task_id = await client.post()
        watches = [await guest.watch(task_id) for guest in guests]

        ends = [(await watch.to_the_end())[-1] for watch in watches]

        assert [base_of(end) for end in ends] == [guest.base for guest in guests]
        for guest in guests[:3]:
            late = await guest.watch(task_id)
            shown = [
                (await late.to_the_end())[-1],
                await guest.status(task_id),
                await guest.poll(task_id),
                await guest.get(f"/api/tasks/{task_id}"),
                (await guest.get("/api/tasks"))["tasks"][0],
                await guest.get(f"/api/tasks/{task_id}/cancel", "POST"),
            ]
            assert [base_of(task) for task in shown] == [guest.base] * len(shown)
        path = urlsplit(ends[0]["result_data"]["image_url"]).path
        async with aiohttp.request("GET", client.url + path) as answer:
            assert (answer.status, answer.content_type) == (200, "image/jpeg")
        events = await guests[0].get(f"/api/tasks/{task_id}/events")
        assert base_of({"result_data": events["events"][-1]["data"]}) == guests[0].base


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({"trusted_proxies": ("127.0.0.1",)}, "https://tasks.example"),
        ({}, None),
        ({"public_url": "https://pictures.example"}, "https://pictures.example"),
    ],
)
async def test_a_proxy_names_the_address_if_it_is_trusted(
    tmp_path: Path, settings: dict[str, Any], base: str | None
) -> None:
    """A5: X-Forwarded-Host and -Proto of others are not read, and `public_url` is for everyone."""
    headers = (("X-Forwarded-Host", "tasks.example"), ("X-Forwarded-Proto", "https"))
    async with product(settings_for(tmp_path, insecure_no_auth=True, **settings)) as client:
        task_id = await client.post()
        await client.ended(task_id)
        guest = Guest(client, "127.0.0.1", *headers)

        over_http = await guest.get(f"/api/tasks/{task_id}")
        over_channel = (await (await guest.watch(task_id)).to_the_end())[-1]

        assert [base_of(over_http), base_of(over_channel)] == [base or guest.base] * 2


async def test_the_providers_address_is_given_out_while_there_is_no_copy(tmp_path: Path) -> None:
    """A5: a file that cannot be stored does not cost the client its picture."""
    async with product(settings_for(tmp_path, max_file_bytes=1_024)) as client:
        last = await client.ended(await client.post())

        assert urlsplit(last["result_data"]["image_url"]).port != urlsplit(client.url).port
