"""The check of the token at the start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from structlog.testing import capture_logs

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.token_check import TokenCheck
from tests.conftest import Serve
from tests.integration.task_server import Client, product, settings_for
from tests.patience import patient


@asynccontextmanager
async def checking(url: str, pauses_s: tuple[float, ...]) -> AsyncIterator[TokenCheck]:
    """A check of a provider at this URL."""
    provider = ReplicateProvider(token="r8_mine", base_url=url)
    check = TokenCheck(provider, lambda: None, timeout_s=0.05, pauses_s=pauses_s)
    check.start()
    try:
        yield check
    finally:
        await check.stop()
        await provider.close()


async def state_of(client: Client) -> tuple[int, str | None]:
    """The status of /readyz, and why creates wait."""
    status, body = await client.request("GET", "/readyz")
    return status, body["provider"]["reason"]


async def test_a_refused_token(tmp_path: Path, serve: Serve) -> None:
    """It is logged without the token, and the server is not ready; nothing was created."""
    paths: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.json_response({"detail": "Unauthenticated"}, status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    url = await serve(app)
    fields = {"replicate_api_token": "r8_wrong_one", "replicate_base_url": f"{url}/v1"}
    with capture_logs() as lines:
        async with product(settings_for(tmp_path, **fields)) as client:
            async with asyncio.timeout(patient(10.0)):
                while await state_of(client) != (503, "provider_account"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    assert paths == ["/v1/account"]
    assert "provider.token_refused" in [line["event"] for line in lines]
    assert "r8_wrong_one" not in str(lines)


async def test_an_accepted_token(tmp_path: Path) -> None:
    """The server is ready."""
    async with Emulator(EmulatorSettings()) as emulator:
        fields = {"replicate_api_token": "r8_mine", "replicate_base_url": emulator.base_url}
        async with product(settings_for(tmp_path, **fields)) as client:
            assert await state_of(client) == (200, None)


async def test_a_provider_that_does_not_answer(serve: Serve) -> None:
    """It is asked again after each pause, and then no more; the start never waited."""
    asked = asyncio.Event()
    answers = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        asked.set()
        await answers.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/account", hang)
    url = await serve(app)
    async with checking(f"{url}/v1", (0.0, 0.0)) as check:
        before = check.attempts
        async with asyncio.timeout(patient(10.0)):
            await asked.wait()
            while check.attempts < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        answers.set()

    assert before == 0


async def test_a_dead_network_does_not_delay_the_start(tmp_path: Path) -> None:
    """The server starts, is ready and stops, though nothing listens at the provider's address."""
    fields = {"replicate_api_token": "r8_mine", "replicate_base_url": "http://127.0.0.1:1/v1"}
    async with product(settings_for(tmp_path, **fields)) as client:
        assert await state_of(client) == (200, None)
