"""The control socket: who may connect, and what it answers."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from phoenix_compat.server.control.client import NotListeningError, send_command
from phoenix_compat.server.control.control_socket import ControlSocket
from phoenix_compat.server.control.messages import (
    SOCKET_NAME,
    Arguments,
    ControlError,
)
from tests.integration.keys.control_harness import (
    NOBODY,
    control,
    folder,
    greeting,
)
from tests.patience import patient

__all__ = ["folder"]


# Commands.


async def test_a_command_is_carried_out(folder: Path) -> None:
    """The client gets the result."""
    async with control(folder) as opened:
        assert await greeting(folder) == "hello world"
        assert opened.counts.requests == 1


async def test_a_long_result_arrives(folder: Path) -> None:
    """A result of megabytes is not cut."""
    async with control(folder):
        result = await send_command(folder / SOCKET_NAME, "repeat", {"count": 4_000_000})

    assert result == "x" * 4_000_000


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("refuse", {}, "not today; try tomorrow"),
        ("unknown", {}, "does not know the command 'unknown'; restart it"),
        ("greet", {}, "the arguments cannot be used: .*name"),
        ("greet", {"name": 1}, "the arguments cannot be used"),
        ("crash", {}, "because of a bug; see the server's log"),
    ],
)
async def test_a_command_that_fails(
    folder: Path, command: str, arguments: dict[str, object], text: str
) -> None:
    """The client gets words for people, and the socket works on."""
    async with control(folder):
        with pytest.raises(ControlError, match=text), capture_logs():
            await send_command(folder / SOCKET_NAME, command, arguments)

        assert await greeting(folder) == "hello world"


async def test_a_bug_is_logged_with_its_traceback(folder: Path) -> None:
    """The log has what the client does not get."""
    async with control(folder):
        with capture_logs() as lines, pytest.raises(ControlError) as raised:
            await send_command(folder / SOCKET_NAME, "crash", {})

    [line] = lines
    assert (line["event"], line["exc_info"]) == ("control.crashed", True)
    assert "secret" not in str(raised.value)


# The file.


async def test_only_its_user_may_connect(folder: Path) -> None:
    """The file has mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        async with control(folder):
            mode = (await asyncio.to_thread(os.stat, folder / SOCKET_NAME)).st_mode
    finally:
        os.umask(before)

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_the_file_is_never_open_to_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its mode from the moment when it appears, so nobody can connect before `chmod`."""
    modes: list[int] = []
    change = Path.chmod

    def record(path: Path, mode: int, **options: Any) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        change(path, mode, **options)

    monkeypatch.setattr(Path, "chmod", record)
    before = os.umask(0)
    try:
        async with control(folder):
            pass
    finally:
        os.umask(before)

    assert modes == [0o600]


async def test_a_path_of_any_length_works(folder: Path) -> None:
    """The kernel takes 107 bytes; a longer path works all the same."""
    deep = folder / ("ä" * 60) / ("b" * 120)
    await asyncio.to_thread(deep.mkdir, parents=True)

    async with control(deep):
        assert await greeting(deep) == "hello world"
        assert await asyncio.to_thread((deep / SOCKET_NAME).is_socket)

    assert not await asyncio.to_thread(os.listdir, deep)


async def test_the_socket_of_a_dead_server_is_replaced(folder: Path) -> None:
    """A server that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / SOCKET_NAME))
    with pytest.raises(NotListeningError):
        await greeting(folder)

    async with control(folder):
        assert await greeting(folder) == "hello world"


async def test_another_file_is_not_replaced(folder: Path) -> None:
    """The server goes on without the socket, says so, and leaves the file alone."""
    await asyncio.to_thread((folder / SOCKET_NAME).write_text, "mine")

    with capture_logs() as lines:
        async with control(folder):
            pass

    assert await asyncio.to_thread((folder / SOCKET_NAME).read_text) == "mine"
    [line] = lines
    assert line["event"] == "control.unavailable"
    assert "move it away" in line["reason"]


async def test_a_folder_that_cannot_be_used_is_no_reason_to_stop(folder: Path) -> None:
    """The server goes on without the socket."""
    with capture_logs() as lines:
        async with control(folder / "missing"):
            pass

    assert [line["event"] for line in lines] == ["control.unavailable"]


async def test_the_next_owner_keeps_its_socket(folder: Path) -> None:
    """An owner that stops late does not remove the socket of the next one."""
    async with control(folder) as first, control(folder):
        await first.stop()

        assert await greeting(folder) == "hello world"


# Other users.


async def test_other_users_are_refused(folder: Path) -> None:
    """A process of a user who is not named gets an error, and the log its number."""
    async with control(folder, users={NOBODY}) as opened:
        with capture_logs() as lines, pytest.raises(ControlError, match="only the user"):
            await greeting(folder)

        assert (opened.counts.refused_users, opened.counts.requests) == (1, 0)
    assert lines == [{"event": "control.refused", "log_level": "warning", "user": os.geteuid()}]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
async def test_another_user_cannot_connect(folder: Path) -> None:
    """Even in a folder that others may enter the kernel refuses them."""
    await asyncio.to_thread(folder.chmod, 0o755)
    script = f"""
import os, socket
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
socket.socket(socket.AF_UNIX).connect({str(folder / SOCKET_NAME)!r})
"""
    async with control(folder):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", script), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()

    assert b"PermissionError" in errors.splitlines()[-1]


async def test_a_command_is_finished_before_the_socket_closes(folder: Path) -> None:
    """A command that is being carried out when the server stops still answers."""
    began, may_end = asyncio.Event(), asyncio.Event()

    async def wait(_arguments: Arguments) -> object:
        began.set()
        await may_end.wait()
        return "done"

    opened = ControlSocket(folder / SOCKET_NAME, {"wait": wait})
    await opened.start()
    answering = asyncio.create_task(send_command(folder / SOCKET_NAME, "wait", {}))
    await began.wait()

    stopping = asyncio.create_task(opened.stop())
    await asyncio.sleep(0)
    may_end.set()

    assert await answering == "done"
    await stopping
    with pytest.raises(NotListeningError):
        await greeting(folder)


# The client.


async def test_a_server_that_ends_leaves_the_outcome_open(folder: Path) -> None:
    """The error says that nobody knows whether the command was carried out."""

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.transport.abort()

    async with await asyncio.start_unix_server(die, folder / SOCKET_NAME):
        with pytest.raises(ControlError, match="unknown whether"):
            await greeting(folder)


async def test_a_server_that_does_not_answer_is_left(folder: Path) -> None:
    """The client does not wait for ever."""

    left = asyncio.Event()

    async def sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.transport.abort()
        left.set()

    async with await asyncio.start_unix_server(sleep, folder / SOCKET_NAME):
        with pytest.raises(ControlError, match="unknown whether"):
            await send_command(folder / SOCKET_NAME, "greet", {}, timeout_s=0.05)

        async with asyncio.timeout(patient(5.0)):
            await left.wait()


async def test_an_answer_that_is_none(folder: Path) -> None:
    """Another program at the socket is reported as a server of another version."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(talk, folder / SOCKET_NAME):
        with pytest.raises(ControlError, match="cannot be understood"):
            await greeting(folder)
