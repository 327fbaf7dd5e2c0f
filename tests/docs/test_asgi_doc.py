"""Every program in docs/asgi.md works under uvicorn."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import aiohttp
import django
import pytest
import uvicorn
from django.conf import settings

from phoenix_compat import Endpoint, asgi
from tests.asgi_serving import serving_uvicorn
from tests.conftest import Dial, Open
from tests.docs.pages import blocks
from tests.serving import accepting
from tests.wire import OK, V2

PAGE = (Path(__file__).parents[2] / "docs" / "asgi.md").read_text(encoding="utf-8")
FASTAPI, STARLETTE, DJANGO, LITESTAR, DEPLOYED = (
    next(block for block in blocks(PAGE, "python") if word in block)
    for word in ("FastAPI()", "Starlette(", "get_asgi_application", "Litestar(", "url_host")
)


def run_program(text: str) -> dict[str, Any]:
    """Run a program; returns its names."""
    names: dict[str, Any] = {"__name__": "page"}
    # Annotations of handlers are looked up in the module of the handler.
    module = types.ModuleType("page")
    module.__dict__.update(names)
    sys.modules["page"] = module
    exec(compile(text, "docs/asgi.md", "exec"), module.__dict__)  # noqa: S102 - our own page
    return module.__dict__


def test_every_program_is_run() -> None:
    """There are no other programs on the page."""
    assert len(blocks(PAGE, "python")) == 5
    assert set(re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)) == {"python", "ini"}


async def test_fastapi(open_wire: Open) -> None:
    """A client joins, its message and an announcement over HTTP reach it."""
    async with serving_uvicorn(run_program(FASTAPI)["app"]) as base_url:
        wire = await open_wire(base_url)
        await wire.join("room:lobby")
        await wire.send(["1", "2", "room:lobby", "new_msg", {"body": "hi"}])
        own = [await wire.recv(), await wire.recv()]
        async with aiohttp.ClientSession() as http:
            await http.post(f"{base_url}/announce", data="all")
        announced = await wire.recv()

    assert own == [
        [None, None, "room:lobby", "new_msg", {"body": "hi"}],
        ["1", "2", "room:lobby", "phx_reply", OK],
    ]
    assert announced[4] == {"body": "all"}


async def test_starlette() -> None:
    """A page's token opens the session; without it the client is refused."""
    async with (
        serving_uvicorn(run_program(STARLETTE)["app"]) as base_url,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        url = f"{base_url}/live/websocket?vsn=2.0.0"
        async with http.get(f"{base_url}/sign-in") as response:
            token = await response.text()
        async with http.ws_connect(url, params={"_csrf_token": token}) as websocket:
            await websocket.send_json([None, "1", "phoenix", "heartbeat", {}])
            answer = await websocket.receive_json()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url)

    assert answer == [None, "1", "phoenix", "phx_reply", OK]
    assert refused.value.status == 403


async def test_django(open_wire: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django answers the other paths, here with 404."""
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), SECRET_KEY="tests")
        django.setup()
    chat: Any = types.ModuleType("chat")
    chat.endpoint = Endpoint()
    chat.endpoint.socket("/socket", accepting({}))
    monkeypatch.setitem(sys.modules, "chat", chat)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.settings")

    async with serving_uvicorn(run_program(DJANGO)["application"]) as base_url:
        wire = await open_wire(base_url)
        await wire.fence()
        async with aiohttp.ClientSession() as http, http.get(f"{base_url}/other") as response:
            status, body = response.status, await response.text()

    assert status == 404
    assert "Not Found" in body
    assert chat.endpoint.is_closing


async def test_litestar() -> None:
    """The application answers its own paths, and its lifespan goes on."""
    pytest.importorskip("litestar", reason="litestar is not installed")
    names = run_program(LITESTAR)

    async with (
        serving_uvicorn(names["application"]) as base_url,
        aiohttp.ClientSession() as http,
        http.get(base_url) as response,
    ):
        body = await response.text()

    assert body == "hello"
    assert names["endpoint"].is_closing


@pytest.mark.parametrize(
    ("origin", "status"), [("https://chat.example.com", 101), ("http://localhost:4000", 403)]
)
async def test_before_you_deploy(
    monkeypatch: pytest.MonkeyPatch, dial: Dial, origin: str, status: int
) -> None:
    """The options are valid under ASGI, and let in the pages of the named host only."""
    monkeypatch.setenv("SECRET_KEY_BASE", "x" * 64)
    names = run_program(FASTAPI + DEPLOYED)
    async with serving_uvicorn(asgi.app(names["endpoint"])) as base_url:
        answer = await (await dial(base_url)).handshake(V2, {"Origin": origin})

    assert answer.status == status


def test_the_unit_of_the_page() -> None:
    """uvicorn has the options of the command."""
    command = re.findall(r"^ExecStart=\S+/uvicorn (.*)$", blocks(PAGE, "ini")[0], re.MULTILINE)[0]

    parsed = uvicorn.main.make_context("uvicorn", command.split()).params

    assert (parsed["app"], parsed["workers"], parsed["ws_max_size"]) == ("chat:app", 2, 65_536)


async def test_uvicorn_logs_the_address_of_a_websocket(
    dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """As the page says: at level info, whatever the access log; not at level warning."""
    caplog.set_level("INFO", "uvicorn.error")
    logged = []
    for level in ("info", "warning"):
        caplog.clear()
        app = run_program(FASTAPI)["app"]
        async with serving_uvicorn(
            app, log_level=level, access_log=False, log_config=None
        ) as base_url:
            await (await dial(base_url)).handshake(f"{V2}&token=of-ann")
        logged.append("token=of-ann" in caplog.text)

    assert logged == [True, False]
