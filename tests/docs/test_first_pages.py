"""Every command and program on the pages for new readers works.

The pages are docs/self-hosting.md, docs/python.md and docs/conformance-start.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import shutil
import stat
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp_session
import pytest
from aiohttp import web

from phoenix_compat import SocketHandler, mount, ok
from phoenix_compat.server.process.settings import Settings
from tests.conftest import Open, Serve
from tests.docs.pages import blocks
from tests.integration.operations.commands import environment
from tests.integration.process.proxies import free_port
from tests.patience import patient
from tests.wire import OK

ROOT = Path(__file__).parents[2]
HOSTING, PYTHON, CONFORMANCE = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("self-hosting", "python", "conformance-start")
)
ONE_FILE = re.findall(r"phoenix-compat-[\d.]+-linux-x86_64", HOSTING)[0]
APP, PRESENCE, TOKENS, SESSION = (
    next(block for block in blocks(PYTHON, "python") if word in block)
    for word in ("web.run_app", "Presence(endpoint)", "tokens.sign", "csrf_token(")
)
TEST_APP = next(block for block in blocks(PYTHON, "python") if "ChannelTest(" in block)
TIMEOUT_S = 40.0
FAST_EMULATOR = {"PHOENIX_COMPAT_EMULATOR_SPEED": "50"}


def write_program(path: Path) -> None:
    """Write a script that runs this package; it is not executable yet, like a download."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m phoenix_compat "$@"\n')
    path.chmod(0o644)


def make_executable(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Shell:
    """Runs the commands of a page in one folder, as a reader would."""

    def __init__(self, folder: Path, port: int, **changes: str) -> None:
        self.port = port
        self._folder = folder
        self._environment = environment(
            {"PYTHONPATH": str(ROOT), "PATH": f"{folder}:{os.environ['PATH']}", **changes}
        )

    async def start(self, commands: str) -> asyncio.subprocess.Process:
        """Start the commands of a block, on this test's port."""
        text = re.sub(r"127\.0\.0\.1:400\d", f"127.0.0.1:{self.port}", commands)
        text = text.replace("conformance-4001.token", f"conformance-{self.port}.token")
        return await asyncio.create_subprocess_exec(
            *("bash", "-euc", re.sub(r"--port 400\d", f"--port {self.port}", text)),
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, commands: str, code: int = 0) -> str:
        """Run a block and return what it prints; every question is answered with Enter."""
        process = await self.start(commands)
        async with asyncio.timeout(patient(TIMEOUT_S)):
            out, _ = await process.communicate(b"\n" * 9)
        assert process.returncode == code, out.decode()
        return out.decode()

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator[None]:
        """Run the server that a block starts, from the moment it listens."""
        process = await self.start(f"exec {command}")
        try:
            assert process.stdout is not None
            async with asyncio.timeout(patient(TIMEOUT_S)):
                while b"listens on" not in (line := await process.stdout.readline()):
                    assert line, "the server ended before it listened"
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(patient(TIMEOUT_S)):
                await process.communicate()


def test_every_block_is_run() -> None:
    """Each page has only blocks in languages that the tests below run or check."""
    languages = {
        language
        for page in (HOSTING, PYTHON, CONFORMANCE)
        for language in re.findall(r"^```(\w+)$", page, re.MULTILINE)
    }

    assert languages <= {"sh", "toml", "caddy", "python", "text", "json"}


def values(text: str) -> list[Any]:
    """Parse JSON values that were printed one after another."""
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def require(command: str) -> None:
    """Skip the test if a command is not installed; in CI that is a failure."""
    if shutil.which(command) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{command} is missing")
        pytest.skip(f"{command} is not installed")


@pytest.mark.timeout(180)  # a dozen commands, a process each
async def test_self_hosting(tmp_path: Path) -> None:
    """The commands lead from the downloaded file to a task, a key, a backup and an upgrade."""
    require("curl")
    unpack, configure, serve, ask, doctor, keys, backup, upgrade = blocks(HOSTING, "sh")
    write_program(tmp_path / ONE_FILE)
    port = free_port()
    shell = Shell(tmp_path, port, PHOENIX_COMPAT_PORT=str(port), **FAST_EMULATOR)

    version = await shell.run(unpack)
    await shell.run(configure)
    async with shell.running(serve):
        created, listed = values(await shell.run(ask))
        doctor_output = await shell.run(doctor)
        keys_output = await shell.run(keys)
        backup_output = await shell.run(backup)
    plan = await shell.run(upgrade)

    assert version.startswith("phoenix-compat")
    assert stat.S_IMODE((tmp_path / "phoenix-compat.toml").stat().st_mode) == 0o600
    assert [task["task_id"] for task in listed["tasks"]] == [created["task_id"]]
    assert f"http://127.0.0.1:{port}" in doctor_output
    assert re.search(r"^pck_\S+\n.*valid\nphone is revoked", keys_output, re.DOTALL)
    assert "1 tasks" in backup_output
    assert "nothing to do" in plan


@pytest.mark.parametrize("text", blocks(HOSTING, "toml"))
def test_the_settings_of_self_hosting(text: str) -> None:
    """The lines for the configuration file are valid settings."""
    lines = tomllib.loads(text)

    assert Settings(**lines).model_fields_set == set(lines)


async def test_the_caddyfile_of_self_hosting(tmp_path: Path) -> None:
    """Caddy accepts the file of the page."""
    require("caddy")
    (tmp_path / "Caddyfile").write_text(blocks(HOSTING, "caddy")[0])

    adapted = await Shell(tmp_path, 0).run("caddy adapt --config Caddyfile 2>/dev/null")

    assert "127.0.0.1:4000" in adapted


def test_what_is_installed_is_this_package() -> None:
    """`pip install` on the pages names this project, and the extra that the page is about."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = project["name"]

    for page, wanted in ((PYTHON, name), (CONFORMANCE, f'"{name}[conformance]"')):
        installed = re.findall(r"^    pip install (.+)$", page, re.MULTILINE)
        assert installed == [wanted]


def test_the_extras_are_listed() -> None:
    """The Python page has each extra, and none that there is not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = PYTHON.partition("| extra |")[2].partition("\n\n")[0]

    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(listed) == sorted(project["optional-dependencies"])


def run_app(folder: Path, monkeypatch: pytest.MonkeyPatch, *further: str) -> dict[str, Any]:
    """Run `python app.py` up to serving, and return the names that it defines."""
    monkeypatch.setattr(web, "run_app", lambda app, port: None)
    (folder / "app.py").write_text("\n\n".join([APP, *further]))
    return runpy.run_path(str(folder / "app.py"), run_name="__main__")


async def test_the_python_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open
) -> None:
    """A client gets what is posted to `/announce` and what a client says."""
    url = await serve(run_app(tmp_path, monkeypatch)["app"])
    wire = await open_wire(url)
    await wire.join("room:lobby")

    async with aiohttp.ClientSession() as http, http.post(f"{url}/announce", data="tea") as posted:
        status = posted.status
    announced = await wire.recv()
    await wire.send(["1", "2", "room:lobby", "new_msg", {"body": "hi"}])
    answered = await wire.recv_many(2)

    assert status == 200
    assert announced == [None, None, "room:lobby", "new_msg", {"body": "tea"}]
    assert answered == [
        [None, None, "room:lobby", "new_msg", {"body": "hi"}],
        ["1", "2", "room:lobby", "phx_reply", OK],
    ]


async def test_the_tests_of_the_python_application(tmp_path: Path) -> None:
    """`pytest` runs the test of the page, and it passes."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "test_app.py").write_text(TEST_APP)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")

    output = await Shell(tmp_path, 0).run(f"'{sys.executable}' -m pytest -q --rootdir .")

    assert "1 passed" in output


async def test_the_tokens_of_the_python_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open
) -> None:
    """A client with a token can connect; one without is refused."""
    names = run_app(tmp_path, monkeypatch, TOKENS)
    endpoint = names["endpoint"]
    endpoint.socket("/members", names["MemberSocket"])
    app = web.Application()
    mount(app, endpoint)
    url = await serve(app)

    wire = await open_wire(url, f"/members/websocket?vsn=2.0.0&token={names['token_for']('ann')}")
    joined = await wire.ask(["1", "1", "room:lobby", "phx_join", {}])
    async with aiohttp.ClientSession() as http, http.get(f"{url}/members/websocket") as refused:
        status = refused.status

    assert joined[4] == OK
    assert status == 403


@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
async def test_the_session_of_the_python_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    """A socket of a page with a session is accepted with the page's token, and refused without."""
    names = run_app(tmp_path, monkeypatch, SESSION)

    async def signed_in(request: web.Request) -> web.Response:
        (await aiohttp_session.get_session(request))["user_id"] = 7
        response: web.Response = await names["page"](request)
        return response

    app = web.Application()
    aiohttp_session.setup(app, aiohttp_session.SimpleCookieStorage())
    app.router.add_get("/", signed_in)
    mount(app, names["endpoint"])
    url = await serve(app)
    statuses = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(url) as response:
            token = (await response.text()).split('content="')[1].split('"')[0]
        for params in ({"_csrf_token": token}, {}):
            # Without the headers of an upgrade an accepted connect is a 400.
            async with http.get(f"{url}/live/websocket", params=params) as response:
                statuses.append(response.status)

    assert statuses == [400, 403]


async def test_the_presence_of_the_python_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open
) -> None:
    """A client that joins gets a diff and the list of those present."""
    names = run_app(tmp_path, monkeypatch, PRESENCE)
    endpoint = names["endpoint"]

    class NamedSocket(SocketHandler):
        channels = {"lobby": names["LobbyChannel"]}  # noqa: RUF012 - a ClassVar of the base

        def connect(self, params: Any, socket: Any, connect_info: Any) -> Any:
            socket.assign(name=params["name"])
            return ok()

    endpoint.socket("/named", NamedSocket)
    app = web.Application()
    mount(app, endpoint)
    wire = await open_wire(await serve(app), "/named/websocket?vsn=2.0.0&name=ann")
    await wire.join("lobby")

    diff, state = await wire.recv_many(2)

    assert diff[3] == "presence_diff"
    assert (state[3], set(state[4])) == ("presence_state", {"ann"})


@pytest.mark.timeout(180)  # a dozen commands, a process each
async def test_the_first_commands_for_authors(tmp_path: Path) -> None:
    """The reference server passes the suite; the fault server closes on request and reports it."""
    serve, run, again, report, scenarios, trace = blocks(CONFORMANCE, "sh")
    port = free_port()
    shell = Shell(tmp_path, port)
    write_program(tmp_path / "phoenix-compat")
    make_executable(tmp_path / "phoenix-compat")
    shown = blocks(CONFORMANCE, "text")[0].splitlines()
    (tmp_path / "trace.jsonl").write_text(blocks(CONFORMANCE, "json")[0])

    async with shell.running(serve):
        passed = await shell.run(run)
        code = await closed_by(f"http://127.0.0.1:{port}/faults/my-client/socket")
        judged = await shell.run(report)
        final = await shell.run(f"{report.strip()} --final", code=1)
        listed = await shell.run(scenarios)
    traced = await shell.run(trace, code=1)

    assert serve == again
    assert shown[2].split() == passed.splitlines()[3].split()
    assert shown[4].rpartition(",")[0] in passed
    assert code == 1001
    assert re.search(r"client/reconnect/close_1001 .* waiting ", judged)
    assert re.search(r"client/reconnect/close_1001 .* failed ", final)
    assert "`client/reconnect/close_1001`" in CONFORMANCE
    assert "client/reconnect/close_1001" in listed
    assert "reply/twice" in traced


async def closed_by(url: str) -> int | None:
    """Join the topic of the page and return the code with which the server closes."""
    topic = re.findall(r"`(fault:[^`]+)`", CONFORMANCE)[0]
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/websocket?vsn=2.0.0") as socket,
    ):
        await socket.send_json(["1", "1", topic, "phx_join", {}])
        async for _message in socket:
            pass
        return socket.close_code
