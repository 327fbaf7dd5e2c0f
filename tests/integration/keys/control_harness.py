"""A control socket with commands of the tests, and clients that send what they like."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.control.client import send_command
from phoenix_compat.server.control.control_socket import ControlSocket
from phoenix_compat.server.control.messages import (
    SOCKET_NAME,
    Arguments,
    Handler,
    socket_address,
)
from tests.patience import patient

NOBODY = 65_534


class _Greeting(msgspec.Struct):
    name: str


async def greet(arguments: Arguments) -> object:
    """Return a greeting."""
    return f"hello {msgspec.convert(arguments, _Greeting).name}"


async def refuse(_arguments: Arguments) -> object:
    """Refuse, with a reason."""
    raise PhoenixCompatError("not today; try tomorrow")


async def crash(_arguments: Arguments) -> object:
    """Have a bug."""
    raise RuntimeError("a secret of the implementation")


async def repeat(arguments: Arguments) -> object:
    """Return much."""
    return "x" * int(arguments["count"])


HANDLERS: dict[str, Handler] = {
    "greet": greet,
    "refuse": refuse,
    "crash": crash,
    "repeat": repeat,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="ctl-") as name:
        yield Path(name)


@asynccontextmanager
async def control(folder: Path, **options: Any) -> AsyncIterator[ControlSocket]:
    """A control socket in this folder, with the commands above."""
    opened = ControlSocket(folder / SOCKET_NAME, HANDLERS, **options)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


async def greeting(folder: Path) -> Any:
    """Send a command that succeeds."""
    return await send_command(folder / SOCKET_NAME, "greet", {"name": "world"})


async def connected(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the test sends what it likes."""
    with socket_address(folder / SOCKET_NAME) as address:
        return await asyncio.open_unix_connection(address)


async def answer_to(folder: Path, data: bytes, *, is_whole: bool = True) -> bytes:
    """Send bytes, and return everything up to the end of the connection.

    Args:
        is_whole: whether to say that nothing more will follow.
    """
    reader, writer = await connected(folder)
    try:
        writer.write(data)
        if is_whole:
            writer.write_eof()
        async with asyncio.timeout(patient(10.0)):
            return await reader.read()
    except ConnectionError:
        return b""  # it was closed while we were sending
    finally:
        writer.transport.abort()
