"""docs/from-elixir.md: its programs run, its lines are imported, its proxy switches over."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat import Tokens
from tests.conftest import Dial, Open, Serve
from tests.docs.pages import ROOT, blocks, page, rows
from tests.integration.operations.commands import environment, run, server
from tests.integration.process.proxies import free_port
from tests.integration.task_server import product, settings_for
from tests.patience import patient
from tests.wire import PhoenixWire, replied

PAGE = page("from-elixir.md")
SERVE, CREATE, DUMP, IMPORT, WATCH, EXPORT = blocks(PAGE, "sh")
TOKEN_SERVER, CONVERT = blocks(PAGE, "python")
*PAYLOADS, LINE = (json.loads(block) for block in blocks(PAGE, "json"))
NGINX = blocks(PAGE, "nginx")[0]
DATA_DIR = "/srv/phoenix-compat"
_PATIENCE_S = 20.0

OLD_ROWS: list[dict[str, Any]] = [
    {
        "id": 42,
        "prompt": "Medieval monk",
        "model": None,
        "status": "completed",
        "image_url": "https://pictures.example.com/42.jpg",
        "error": None,
        "inserted_at": "2026-01-05T10:00:00",
        "updated_at": "2026-01-05T10:00:09",
    },
    {
        "id": "b6f1",
        "prompt": "x",
        "model": "black-forest-labs/flux-schnell",
        "status": "failed",
        "image_url": None,
        "error": "NSFW",
        "inserted_at": "2026-01-05T11:00:00.25+01:00",
        "updated_at": "2026-01-05T10:00:09Z",
    },
]
"""Rows as PostgreSQL's row_to_json writes them, without and with a time zone."""


def words_of(line: str) -> list[str]:
    """The arguments of a line that calls phoenix-compat."""
    name, *words = shlex.split(line)
    assert name == "phoenix-compat"
    return words


async def shell(script: str, folder: Path) -> str:
    """Run a block of the page in a folder whose `bin` is searched first; its output."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        env=environment({"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(patient(_PATIENCE_S)):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def install(folder: Path, name: str, program: str) -> None:
    """Put a program into the folder's `bin`."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(program)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with `phoenix-compat`, a `psql` that has the old rows, and the page's convert.py."""
    lines = "".join(json.dumps(row) + "\n" for row in OLD_ROWS)
    (tmp_path / "rows").write_text(lines)
    install(
        tmp_path, "psql", f'#!/bin/sh\ncase "$*" in *"row_to_json(t)"*) cat {tmp_path}/rows;; esac'
    )
    install(
        tmp_path,
        "phoenix-compat",
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m phoenix_compat "$@"\n',
    )
    (tmp_path / "convert.py").write_text(CONVERT)
    return tmp_path


@asynccontextmanager
async def served(data_dir: Path, *words: str, **variables: str) -> AsyncIterator[Any]:
    """The task server as a process, and its URL."""
    fast = {"PHOENIX_COMPAT_EMULATOR_SPEED": "20", **variables}
    arguments = ("serve", "--port", "0", "--data-dir", str(data_dir), *words)
    async with server("-m", "phoenix_compat", *arguments, **fast) as process_and_url:
        yield process_and_url


async def test_the_command_starts_a_server(tmp_path: Path) -> None:
    """The line of step 1 serves, on its port and in its folder; both are others here."""
    port = free_port()
    line = SERVE.replace("4100", str(port)).replace(DATA_DIR, str(tmp_path / "data"))

    async with server("-m", "phoenix_compat", *words_of(line)) as (_, url):
        assert url == f"http://127.0.0.1:{port}"
    assert (tmp_path / "data" / "tasks.sqlite3").exists()


async def test_the_payloads_are_those_of_the_server(tmp_path: Path) -> None:
    """Keys and types of the three payloads of `progress`."""
    async with product(settings_for(tmp_path)) as client:
        first, *_, completed = await client.follow(await client.post())
        stuck = await client.post("#fault:stuck_processing")
        await client.request("POST", f"/api/tasks/{stuck}/cancel")
        failed = await client.ended(stuck)

    assert [shape(one) for one in (first, completed, failed)] == [shape(one) for one in PAYLOADS]
    assert failed["error_data"] == PAYLOADS[2]["error_data"]


def shape(value: Any) -> Any:
    """Keys and types, without the values."""
    if isinstance(value, Mapping):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value)


async def test_the_curl_lines_are_answered(workplace: Path) -> None:
    """Creating a task and watching the server from the shell."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with served(workplace / "data") as (_, url):
        outputs = [
            await shell(line.replace("http://127.0.0.1:4100", url), workplace)
            for line in [CREATE, *WATCH.splitlines()]
        ]

    created, ready, failed = map(json.loads, outputs)
    assert created["task_id"]
    assert ready["status"] == "ready"
    assert failed["tasks"] == []


async def test_phoenix_tokens_open_the_server(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open, dial: Dial
) -> None:
    """A token that was signed with the secret lets its user in and to his own channel; without one,
    or with one of another secret, the handshake is 403."""
    secret = "the secret_key_base of the Phoenix app, long enough"
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", lambda app, port: apps.append(app))
    monkeypatch.setenv("SECRET_KEY_BASE", secret)
    exec(compile(TOKEN_SERVER, "from-elixir.md", "exec"), {})  # noqa: S102 - our own text
    url = await serve(apps[0])
    target = "/socket/websocket?vsn=2.0.0"
    stranger = Tokens(secret[::-1]).sign("user socket", 7)

    refused = [
        (await (await dial(url)).handshake(target + query)).status
        for query in ("", f"&token={stranger}", "&token=nonsense")
    ]
    wire = await open_wire(url, f"{target}&token={Tokens(secret).sign('user socket', 7)}")
    own = await wire.ask(["1", "1", "user:7", "phx_join", {}])
    others = await wire.ask(["2", "2", "user:8", "phx_join", {}])

    assert refused == [403, 403, 403]
    assert own[4] == replied({})
    assert others[4] == {"response": {"reason": "unauthorized"}, "status": "error"}


async def test_old_tasks_are_brought_along(workplace: Path) -> None:
    """psql's rows become lines, the lines tasks, and whoever joins one hears its end; a second
    import adds nothing, and the export gives the lines back."""
    data = workplace / "data"
    steps = (DUMP + IMPORT).replace(DATA_DIR, str(data))

    await shell(steps, workplace)
    await shell(steps, workplace)

    async with served(data) as (_, url):
        async with aiohttp.request("GET", f"{url}/api/tasks") as answer:
            listed = (await answer.json())["tasks"]
        told = [await present_state(url, task_id) for task_id in ("42", "b6f1")]
    assert [task["task_id"] for task in listed] == ["b6f1", "42"]
    assert [one["status"] for one in told] == ["completed", "failed"]
    assert told[0]["result_data"] == LINE["result_data"]
    assert told[0]["timestamp"] == "2026-01-05T10:00:09Z"
    assert told[1]["error_data"] == {"error": "NSFW", "code": "model_failed"}

    await shell(EXPORT.replace(DATA_DIR, str(data)), workplace)
    exported = [json.loads(line) for line in (workplace / "tasks.jsonl").read_text().splitlines()]
    assert [line["id"] for line in exported] == ["42", "b6f1"]
    assert {"id", "status", "result_data"} <= set(exported[0])


async def present_state(url: str, task_id: str) -> Any:
    """The payload of the first `progress` after a join."""
    wire = await PhoenixWire.open(url)
    await wire.join(f"task:{task_id}")
    payload = (await wire.recv())[4]
    await wire.close()
    return payload


async def test_the_line_that_is_shown_is_what_the_program_makes(workplace: Path) -> None:
    """The line of the page, for the first of the rows; it is imported as it stands."""
    await shell(DUMP + IMPORT.splitlines()[0], workplace)
    (workplace / "line.jsonl").write_text(json.dumps(LINE))

    made = json.loads((workplace / "tasks.jsonl").read_text().splitlines()[0])
    done = await run(
        *("-m", "phoenix_compat", "import", "--data-dir", str(workplace / "data")),
        str(workplace / "line.jsonl"),
    )

    assert made == LINE
    assert done.code == 0, done.err


def test_the_proxy_is_that_of_the_recipe() -> None:
    """Each directive of the page's `location` is one of the shipped file for nginx, and none of
    that file is left out."""
    recipe = (ROOT / "packaging" / "nginx" / "phoenix-compat.conf").read_text()
    names = r"\bproxy_(?!pass)\w+ [^;]*;|client_max_body_size [^;]*;"
    ours = NGINX.replace("$connection_header", "$phoenix_connection")

    assert set(re.findall(names, ours)) == set(re.findall(names, recipe))


def test_what_takes_the_place_of_what_is_complete() -> None:
    """The table has both columns everywhere, and names what an Elixir backend is made of."""
    table = rows(PAGE, "| in your Phoenix app | here |")
    left = " ".join(row[0] for row in table)

    assert all(len(row) == 2 and all(row) for row in table)
    for part in ("Endpoint", "socket", "channel", "Oban", "Replicate", "Ecto", "Token", "Presence"):
        assert part in left
    for part in ("PubSub", "telemetry", "libcluster", "mix release"):
        assert part in left


class Nginx:
    """nginx with the configuration of the page, but plain HTTP on a port of its own."""

    def __init__(self, program: str, folder: Path, phoenix: str, ours: str) -> None:
        self._command = (program, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf")
        self._folder = folder
        self._upstreams = {"127.0.0.1:4000": phoenix, "127.0.0.1:4100": ours}
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve, with the upstream of the page."""
        self._write(NGINX)
        process = await asyncio.create_subprocess_exec(*self._command)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    async def switch(self) -> None:
        """Move the `#` to the other line, test the configuration and reload."""
        first, second = re.findall(r"^    (?:# )?server [\d.:]+;.*$", NGINX, re.MULTILINE)
        assert second.startswith("    # ")
        moved = NGINX.replace(first, first.replace("server", "# server"))
        self._write(moved.replace(second, second.replace("# server", "server")))
        for arguments in (("-t", "-q"), ("-s", "reload")):
            process = await asyncio.create_subprocess_exec(*self._command, *arguments)
            assert await process.wait() == 0

    def _write(self, site: str) -> None:
        site = re.sub(r" *ssl_certificate.*\n", "", site)
        site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{self._port};")
        for shown, real in self._upstreams.items():
            assert f"server {shown};" in site
            site = site.replace(f"server {shown};", f"server {real};")
        paths = "".join(
            f"{kind}_temp_path {self._folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self._folder / "nginx.conf").write_text(
            f"daemon off;\nworker_processes 1;\npid {self._folder}/nginx.pid;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}{site}}}\n"
        )


async def test_the_switch(tmp_path: Path) -> None:
    """New requests go to the new server after the reload; an open websocket stays with the old one
    until that stops, hears 1012, and its client finds its imported task at the new one."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    (tmp_path / "line.jsonl").write_text(json.dumps(LINE))
    for data in ("old", "new"):
        done = await run(
            *("-m", "phoenix_compat", "import", "--data-dir", str(tmp_path / data)),
            str(tmp_path / "line.jsonl"),
        )
        assert done.code == 0, done.err
    async with AsyncExitStack() as stack:
        old, old_url = await stack.enter_async_context(served(tmp_path / "old"))
        _, new_url = await stack.enter_async_context(served(tmp_path / "new"))
        nginx = Nginx(
            program, tmp_path, *(one.removeprefix("http://") for one in (old_url, new_url))
        )
        await stack.enter_async_context(nginx.running())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        only_old = await posted(http, old_url)
        await until_status(http, f"{nginx.url}/api/tasks/{only_old}", 200)
        wire = await PhoenixWire.open(nginx.url)
        await wire.join("task:42")
        await wire.recv()

        await nginx.switch()
        await until_status(http, f"{nginx.url}/api/tasks/{only_old}", 404)
        await wire.fence()
        old.send_signal(signal.SIGTERM)
        code = await wire.recv_close(_PATIENCE_S)
        await wire.close()
        told = await present_state(nginx.url, "42")
        again = await PhoenixWire.open(nginx.url)
        unknown = await again.ask(["1", "1", f"task:{only_old}", "phx_join", {}])
        await again.close()

    assert code == 1012
    assert told["status"] == "completed"
    assert unknown[4]["response"] == {"reason": "not found"}


async def posted(http: aiohttp.ClientSession, url: str) -> str:
    """A new task's id."""
    order = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
    async with http.post(f"{url}/api/tasks", json=order) as answer:
        return str((await answer.json())["task_id"])


async def until_status(http: aiohttp.ClientSession, url: str, wanted: int) -> None:
    """Ask until the answer has this status: another program starts or reloads meanwhile."""
    async with asyncio.timeout(patient(_PATIENCE_S)):
        while True:
            try:
                async with http.get(url) as answer:
                    if answer.status == wanted:
                        return
            except aiohttp.ClientConnectorError:
                pass
            await asyncio.sleep(0.02)
