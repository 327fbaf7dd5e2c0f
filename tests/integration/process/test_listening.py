"""Listening on a Unix socket and on sockets that systemd passes; `healthcheck`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.inherited_sockets import inherited_sockets, unix_listener
from tests.integration.operations.commands import ROOT, environment, finish, run, start
from tests.patience import patient

COMMAND = ("-m", "phoenix_compat")

# Does as systemd does: the socket is file descriptor 3, and the variables name this process.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "phoenix_compat", *sys.argv[2:]])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path for a socket."""
    return tmp_path / "s"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening TCP socket."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


async def status_of(url: str, connector: aiohttp.BaseConnector | None = None) -> int:
    """The status of a GET request."""
    async with aiohttp.ClientSession(connector=connector) as http, http.get(url) as answer:
        return answer.status


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def exists(path: Path) -> bool:
    return path.exists()


async def line_with(process: asyncio.subprocess.Process, word: str) -> str:
    """The first line of the output that contains this word."""
    assert process.stdout is not None
    async with asyncio.timeout(patient(20.0)):
        while line := (await process.stdout.readline()).decode():
            if word in line:
                return line
    raise AssertionError((await finish(process)).err)


async def test_serve_listens_on_a_unix_socket(path: Path, tmp_path: Path) -> None:
    """It has the configured mode, serves HTTP and websockets, and is removed with the server."""
    process = await start(
        *(*COMMAND, "--unix-socket", str(path), "--data-dir", str(tmp_path / "data")),
        PHOENIX_COMPAT_UNIX_SOCKET_MODE="0600",
        PHOENIX_COMPAT_LOG_LEVEL="warning",
    )
    line = await line_with(process, "listens on")
    checked = await run(*COMMAND, "healthcheck", "--unix-socket", str(path))

    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
        http.ws_connect("http://localhost/socket/websocket?vsn=2.0.0") as wire,
    ):
        await wire.send_json([None, "1", "phoenix", "heartbeat", {}])
        reply = await wire.receive_json()
    mode = mode_of(path)
    process.send_signal(signal.SIGTERM)
    finished = await finish(process)

    assert line.endswith(f"listens on unix:{path}\n")
    assert checked.code == 0, checked.err
    assert reply[3] == "phx_reply"
    assert mode == 0o600
    assert (finished.code, finished.err) == (0, "")
    assert f"curl --unix-socket {path} -s http://localhost/api/tasks" in finished.out
    assert not exists(path)


async def test_serve_takes_the_socket_that_systemd_hands_over(
    listener: socket.socket, tmp_path: Path
) -> None:
    """Clients that connected before the server was there are answered; no other port is opened."""
    port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    early = asyncio.create_task(status_of(f"{url}/healthz"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ACTIVATE, str(listener.fileno())),
        *("serve", "--data-dir", str(tmp_path / "data")),
        cwd=ROOT,
        env=environment({}),
        pass_fds=(listener.fileno(),),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    line = await line_with(process, "listens on")
    status = await early
    process.send_signal(signal.SIGTERM)
    finished = await finish(process)

    assert line.endswith(f"listens on {url}\n")
    assert status == 200
    assert (finished.code, finished.err) == (0, "")


def test_variables_for_another_process_are_ignored() -> None:
    """With another LISTEN_PID there are no sockets; the variables are removed all the same."""
    variables = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "HOME": "/"}

    assert inherited_sockets(variables) == ()
    assert variables == {"HOME": "/"}


def test_a_descriptor_that_is_not_a_listening_socket_is_refused(tmp_path: Path) -> None:
    """For a file, and for a socket that does not listen, the error says what the unit needs."""
    me = str(os.getpid())
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="is not a socket"):
        inherited_sockets({"LISTEN_PID": me, "LISTEN_FDS": "1"}, file.fileno())
    with closing(socket.socket()) as idle, pytest.raises(ConfigError, match="ListenStream="):
        inherited_sockets({"LISTEN_PID": me, "LISTEN_FDS": "1"}, idle.fileno())
    with pytest.raises(ConfigError, match=r"LISTEN_FDS: must be .*, not '-1'"):
        inherited_sockets({"LISTEN_PID": me, "LISTEN_FDS": "-1"})


def test_a_path_in_use_is_left_alone(path: Path) -> None:
    """A file and the socket of a running server are not replaced; a dead socket is."""
    path.write_text("mine")
    with pytest.raises(ConfigError, match="move it away"), unix_listener(path, 0o600):
        pass
    assert path.read_text() == "mine"
    path.unlink()

    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    with unix_listener(path, 0o660) as listener:
        listener.listen()
        assert mode_of(path) == 0o660
        with pytest.raises(ConfigError, match="stop that one first"), unix_listener(path, 0o600):
            pass
    assert not path.exists()


async def test_healthcheck_is_an_exit_code(listener: socket.socket, tmp_path: Path) -> None:
    """0 if the configured address answers with 200, otherwise 1 with the reason."""
    port = str(listener.getsockname()[1])
    config = tmp_path / "c.toml"
    config.write_text('port = 1\nhost = "0.0.0.0"')

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = {b"readyz": b"503 Busy", b"healthz": b"200 OK"}[
            (await reader.readuntil(b"\r\n\r\n")).split()[1][1:]
        ]
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nso")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, sock=listener):
        command = (*COMMAND, "healthcheck", "--config", str(config))
        ready, live, gone = await asyncio.gather(
            run(*command, PHOENIX_COMPAT_PORT=port),
            run(*command, "--live", "--port", port),
            run(*command),
        )

    assert (live.code, live.out) == (0, "so\n")
    assert (ready.code, ready.err) == (
        1,
        f"Error: http://127.0.0.1:{port}/readyz answers 503: so\n",
    )
    assert (gone.code, "http://127.0.0.1:1 does not answer" in gone.err) == (1, True)
