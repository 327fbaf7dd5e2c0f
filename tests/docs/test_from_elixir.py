"""The programs, task lines and proxy configuration of docs/from-elixir.md work."""

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
_TIMEOUT_S = 20.0

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
"""Rows as row_to_json of PostgreSQL writes them, without and with a time zone."""


def arguments_of(line: str) -> list[str]:
    """Return the arguments of a line that calls phoenix-compat."""
    name, *arguments = shlex.split(line)
    assert name == "phoenix-compat"
    return arguments


async def shell(script: str, folder: Path) -> str:
    """Run a block of the page with `bin` of the folder first in PATH, and return its output."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        env=environment({"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def install(folder: Path, name: str, program: str) -> None:
    """Write an executable program into `bin` of the folder."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(program)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def migration_folder(tmp_path: Path) -> Path:
    """A folder with `phoenix-compat`, a `psql` that prints the old rows, and convert.py."""
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
async def served(data_dir: Path, *options: str, **variables: str) -> AsyncIterator[Any]:
    """Run the task server as a process; yield the process and its URL."""
    fast = {"PHOENIX_COMPAT_EMULATOR_SPEED": "20", **variables}
    arguments = ("serve", "--port", "0", "--data-dir", str(data_dir), *options)
    async with server("-m", "phoenix_compat", *arguments, **fast) as process_and_url:
        yield process_and_url


async def test_the_command_starts_a_server(tmp_path: Path) -> None:
    """The command of step 1 starts a server (with the port and folder replaced)."""
    port = free_port()
    line = SERVE.replace("4100", str(port)).replace(DATA_DIR, str(tmp_path / "data"))

    async with server("-m", "phoenix_compat", *arguments_of(line)) as (_, url):
        assert url == f"http://127.0.0.1:{port}"
    assert (tmp_path / "data" / "tasks.sqlite3").exists()


async def test_the_payloads_are_those_of_the_server(tmp_path: Path) -> None:
    """The three payloads of `progress` have the keys and types that the server sends."""
    async with product(settings_for(tmp_path)) as client:
        first, *_, completed = await client.follow(await client.post())
        stuck = await client.post("#fault:stuck_processing")
        await client.request("POST", f"/api/tasks/{stuck}/cancel")
        failed = await client.ended(stuck)

    assert [shape(one) for one in (first, completed, failed)] == [shape(one) for one in PAYLOADS]
    assert failed["error_data"] == PAYLOADS[2]["error_data"]


def shape(value: Any) -> Any:
    """Replace the values by their types."""
    if isinstance(value, Mapping):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value)


async def test_the_curl_lines_are_answered(migration_folder: Path) -> None:
    """The curl commands of the page create a task and show the state of the server."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with served(migration_folder / "data") as (_, url):
        outputs = [
            await shell(line.replace("http://127.0.0.1:4100", url), migration_folder)
            for line in [CREATE, *WATCH.splitlines()]
        ]

    created, ready, failed = map(json.loads, outputs)
    assert created["task_id"]
    assert ready["status"] == "ready"
    assert failed["tasks"] == []


async def test_phoenix_tokens_open_the_server(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open, dial: Dial
) -> None:
    """A token signed with the secret opens a connection and the user's own channel. Without one, or
    with a token of another secret, the handshake is answered with 403."""
    secret = "the secret_key_base of the Phoenix app, long enough"
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", lambda app, port: apps.append(app))
    monkeypatch.setenv("SECRET_KEY_BASE", secret)
    exec(compile(TOKEN_SERVER, "from-elixir.md", "exec"), {})  # noqa: S102 - our own text
    url = await serve(apps[0])
    target = "/socket/websocket?vsn=2.0.0"
    foreign_token = Tokens(secret[::-1]).sign("user socket", 7)

    refused = [
        (await (await dial(url)).handshake(target + query)).status
        for query in ("", f"&token={foreign_token}", "&token=nonsense")
    ]
    wire = await open_wire(url, f"{target}&token={Tokens(secret).sign('user socket', 7)}")
    own = await wire.ask(["1", "1", "user:7", "phx_join", {}])
    others = await wire.ask(["2", "2", "user:8", "phx_join", {}])

    assert refused == [403, 403, 403]
    assert own[4] == replied({})
    assert others[4] == {"response": {"reason": "unauthorized"}, "status": "error"}


async def test_old_tasks_are_imported(migration_folder: Path) -> None:
    """The rows from psql are imported as tasks, and a client that joins one gets its final state; a
    second import adds nothing, and the export returns the tasks."""
    data = migration_folder / "data"
    steps = (DUMP + IMPORT).replace(DATA_DIR, str(data))

    await shell(steps, migration_folder)
    await shell(steps, migration_folder)

    async with served(data) as (_, url):
        async with aiohttp.request("GET", f"{url}/api/tasks") as answer:
            listed = (await answer.json())["tasks"]
        states = [await current_state(url, task_id) for task_id in ("42", "b6f1")]
    assert [task["task_id"] for task in listed] == ["b6f1", "42"]
    assert [one["status"] for one in states] == ["completed", "failed"]
    assert states[0]["result_data"] == LINE["result_data"]
    assert states[0]["timestamp"] == "2026-01-05T10:00:09Z"
    assert states[1]["error_data"] == {"error": "NSFW", "code": "model_failed"}

    await shell(EXPORT.replace(DATA_DIR, str(data)), migration_folder)
    exported = [
        json.loads(line) for line in (migration_folder / "tasks.jsonl").read_text().splitlines()
    ]
    assert [line["id"] for line in exported] == ["42", "b6f1"]
    assert {"id", "status", "result_data"} <= set(exported[0])


async def current_state(url: str, task_id: str) -> Any:
    """Join a task and return the payload of the first `progress`."""
    wire = await PhoenixWire.open(url)
    await wire.join(f"task:{task_id}")
    payload = (await wire.recv())[4]
    await wire.close()
    return payload


async def test_the_line_on_the_page_is_what_the_program_writes(migration_folder: Path) -> None:
    """convert.py writes the line of the page for the first row, and that line can be imported."""
    await shell(DUMP + IMPORT.splitlines()[0], migration_folder)
    (migration_folder / "line.jsonl").write_text(json.dumps(LINE))

    written = json.loads((migration_folder / "tasks.jsonl").read_text().splitlines()[0])
    done = await run(
        *("-m", "phoenix_compat", "import", "--data-dir", str(migration_folder / "data")),
        str(migration_folder / "line.jsonl"),
    )

    assert written == LINE
    assert done.code == 0, done.err


def test_the_proxy_has_the_directives_of_the_shipped_file() -> None:
    """The `location` of the page has the same directives as the shipped file for nginx."""
    recipe = (ROOT / "packaging" / "nginx" / "phoenix-compat.conf").read_text()
    names = r"\bproxy_(?!pass)\w+ [^;]*;|client_max_body_size [^;]*;"
    ours = NGINX.replace("$connection_header", "$phoenix_connection")

    assert set(re.findall(names, ours)) == set(re.findall(names, recipe))


def test_what_takes_the_place_of_what_is_complete() -> None:
    """The table has two filled columns, and names the usual parts of an Elixir backend."""
    table = rows(PAGE, "| in your Phoenix app | here |")
    left = " ".join(row[0] for row in table)

    assert all(len(row) == 2 and all(row) for row in table)
    for part in ("Endpoint", "socket", "channel", "Oban", "Replicate", "Ecto", "Token", "Presence"):
        assert part in left
    for part in ("PubSub", "telemetry", "libcluster", "mix release"):
        assert part in left


class Nginx:
    """Runs nginx with the configuration of the page, but with plain HTTP on a free port."""

    def __init__(self, program: str, folder: Path, phoenix: str, ours: str) -> None:
        self._command = (program, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf")
        self._folder = folder
        self._upstreams = {"127.0.0.1:4000": phoenix, "127.0.0.1:4100": ours}
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run nginx with the upstream of the page."""
        self._write(NGINX)
        process = await asyncio.create_subprocess_exec(*self._command)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    async def switch(self) -> None:
        """Switch from the first upstream to the second, test the configuration and reload."""
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
            f"{name}_temp_path {self._folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self._folder / "nginx.conf").write_text(
            f"daemon off;\nworker_processes 1;\npid {self._folder}/nginx.pid;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}{site}}}\n"
        )


async def test_the_switch_to_the_new_server(tmp_path: Path) -> None:
    """After the reload, new requests go to the new server. An open websocket stays with the old one
    until that stops with 1012; its client then finds the imported task on the new server."""
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
        behind_nginx = ("--insecure-no-auth",)
        old, old_url = await stack.enter_async_context(served(tmp_path / "old", *behind_nginx))
        _, new_url = await stack.enter_async_context(served(tmp_path / "new", *behind_nginx))
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
        code = await wire.recv_close(_TIMEOUT_S)
        await wire.close()
        state = await current_state(nginx.url, "42")
        again = await PhoenixWire.open(nginx.url)
        unknown = await again.ask(["1", "1", f"task:{only_old}", "phx_join", {}])
        await again.close()

    assert code == 1012
    assert state["status"] == "completed"
    assert unknown[4]["response"] == {"reason": "not found"}


async def posted(http: aiohttp.ClientSession, url: str) -> str:
    """Create a task and return its id."""
    body = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
    async with http.post(f"{url}/api/tasks", json=body) as answer:
        return str((await answer.json())["task_id"])


async def until_status(http: aiohttp.ClientSession, url: str, wanted: int) -> None:
    """Repeat the request until the answer has this status; nginx may be starting or reloading."""
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        while True:
            try:
                async with http.get(url) as answer:
                    if answer.status == wanted:
                        return
            except aiohttp.ClientConnectorError:
                pass
            await asyncio.sleep(0.02)
