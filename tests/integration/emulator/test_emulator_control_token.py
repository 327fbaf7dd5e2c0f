"""Who may steer an emulator that runs in a process of its own, and the one of a task server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from phoenix_compat.control_token import control_headers
from phoenix_compat.emulator.web.control import ROUTES
from tests.integration.operations.commands import finish, run, server
from tests.integration.task_server import Client
from tests.unit.emulator.emulator_client import emulator_client

TOKEN = "t" * 43
COMMAND = ("-m", "phoenix_compat.emulator", "--port", "0", "--speed", "20")
CALLS = sorted({(route.method, route.path.replace("{id}", "x")) for route in ROUTES})


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_every_control_route_needs_the_token(method: str, path: str) -> None:
    """Without it, or with the token of the API, the answer is 401, and nothing changes."""
    async with emulator_client(control_token=TOKEN) as client:
        await client.create()
        client.state.faults.arm("500", 2)
        body: dict[str, Any] = {"json": {"name": "429"}} if method == "POST" else {}

        refused = await client.request(method, path, **body)
        admitted = await client.request(method, path, headers={"X-Control-Token": TOKEN}, **body)

        assert refused.status == refused.json["status"] == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert "X-Control-Token" in refused.json["detail"]
        assert admitted.status != 401


async def test_a_page_with_the_token_is_still_refused() -> None:
    """The token does not replace the checks of Host, Origin and content type."""
    token = {"Authorization": f"Bearer {TOKEN}"}
    page = token | {"Origin": "http://evil.example"}
    text = token | {"Content-Type": "text/plain"}
    async with emulator_client(control_token=TOKEN) as client:
        origin = await client.request("POST", "/__emu/faults", json={"name": "500"}, headers=page)
        form = await client.request("POST", "/__emu/faults", data=b'{"name": "500"}', headers=text)
        host = await client.get("/__emu/state", headers=token | {"Host": "evil.example"})

        assert (origin.status, form.status, host.status) == (403, 415, 421)
        assert client.state.faults.armed == ()


async def test_the_command_prints_where_the_token_is() -> None:
    """The printed command works; the output has no token, and the file is gone at the end."""
    async with server(*COMMAND) as (process, url), aiohttp.ClientSession() as http:
        assert process.stdout is not None
        greeting = (await process.stdout.readuntil(b"/__emu/faults")).decode()
        found = re.search(r"\$\(cat (\S+)\)", greeting)
        assert found is not None
        file = Path(found[1])
        token = await asyncio.to_thread(file.read_text)
        async with http.get(f"{url}/__emu/faults") as refused:
            pass
        headers = {"X-Control-Token": token.strip()}
        async with http.get(f"{url}/__emu/faults", headers=headers) as admitted:
            pass
        process.terminate()
        finished = await finish(process)
    is_left = await asyncio.to_thread(file.exists)

    assert (refused.status, admitted.status, finished.code) == (401, 200, 0)
    assert token.strip() not in greeting + finished.out + finished.err
    assert not is_left


async def test_a_weak_token_is_an_error_of_the_user(tmp_path: Path) -> None:
    """Exit code 2; the error names the option and the file."""
    file = tmp_path / "token"
    file.write_text("1234")
    file.chmod(0o600)

    finished = await run(*COMMAND, "--control-token-file", str(file))

    assert finished.code == 2
    assert f"--control-token-file: {file} must hold at least 16" in finished.err
    assert "1234" not in finished.err.replace(str(file), "")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_task_server_keeps_its_emulator_to_itself(tmp_path: Path, workers: str) -> None:
    """Its port has no control routes, and without the token, which nobody else has, it answers
    neither creates nor lists. The picture can be fetched by its URL."""
    serve = ("server.py", "--port", "0", "--data-dir", str(tmp_path), "--workers", workers)
    async with (
        server(
            *serve,
            PHOENIX_COMPAT_EMULATOR_SPEED="50",
            PHOENIX_COMPAT_MAX_FILE_BYTES="1",  # without an own copy the URL is the emulator's
        ) as (_, url),
        aiohttp.ClientSession(headers={"Authorization": "Bearer r8_emulator"}) as http,
    ):
        client = Client(url, http)
        last = await client.ended(await client.post("a secret wish"))
        picture_url = last["result_data"]["image_url"]
        emulator = picture_url.partition("/files/")[0]
        statuses = {}
        for method, path in (
            *CALLS,
            ("GET", "/v1/predictions"),
            ("GET", f"/v1/predictions/{last['result_data']['prediction_id']}"),
            ("POST", "/v1/models/google/imagen-4-fast/predictions"),
            ("GET", "/v1/files"),
            ("GET", "/v1/v1/predictions"),
        ):
            body = {"input": {"prompt": "x"}} if method == "POST" else None
            async with http.request(method, emulator + path, json=body) as answer:
                statuses[method, path] = answer.status
                assert "a secret wish" not in await answer.text()
        async with http.get(picture_url) as picture:
            pass

    assert {statuses[call] for call in CALLS} <= {404, 405}
    assert {status for call, status in statuses.items() if call not in CALLS} == {401}
    assert picture.status == 200


async def test_the_workers_of_the_conformance_server_share_the_token() -> None:
    """A broadcast over HTTP needs the token, in every process."""
    command = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0", "--workers", "2")
    statuses = set()
    async with server(*command) as (_, url):
        headers = await asyncio.to_thread(control_headers, url, "conformance", None)
        for _ in range(10):
            async with aiohttp.ClientSession() as http:  # the kernel chooses the process
                target = f"{url}/broadcast/room:a/msg"
                async with http.post(target, json={}) as refused:
                    pass
                async with http.post(target, json={}, headers=headers) as admitted:
                    pass
            statuses.add((refused.status, admitted.status))

    assert statuses == {(401, 204)}
