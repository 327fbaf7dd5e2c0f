"""What cannot stop the control socket. Whoever can connect is trusted, but may make mistakes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from phoenix_compat.server.control import control_socket
from phoenix_compat.server.control.messages import (
    MAX_REQUEST_BYTES,
    ControlError,
)
from tests.integration.keys.control_harness import (
    answer_to,
    connected,
    control,
    folder,
    greeting,
)
from tests.patience import patient

__all__ = ["folder"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"[" * 60_000 + b"\n",
        b'{"command": "greet", "arguments": {"name": ' + b"[" * 30_000 + b"]" * 30_000 + b"}}\n",
        b'{"command": 1}\n',
        b'{"arguments": {}}\n',
        b'{"command": "greet"',
        b"\xff" * 100 + b"\n",
        b"\0" * 1_000,
        b'{"command": "greet", "arguments": []}\n',
    ],
)
async def test_what_is_no_request_is_refused(folder: Path, data: bytes) -> None:
    """The answer is an error, and the socket works on."""
    async with control(folder) as opened:
        answer = await answer_to(folder, data)

        assert msgspec.json.decode(answer) == {"error": "the request cannot be understood"}
        assert opened.counts.invalid == 1
        assert await greeting(folder) == "hello world"


async def test_a_request_that_never_ends_is_refused(folder: Path) -> None:
    """After 64 KiB nothing more is read."""
    async with control(folder) as opened:
        await answer_to(folder, b"x" * (MAX_REQUEST_BYTES * 20), is_whole=False)

        assert opened.counts.invalid == 1
        assert await greeting(folder) == "hello world"


async def test_a_client_that_sends_nothing_is_closed(folder: Path) -> None:
    """It gets an error when its time is over."""
    async with control(folder, timeout_s=0.05) as opened:
        for data in (b"", b'{"comm'):
            answer = await answer_to(folder, data, is_whole=False)

            assert msgspec.json.decode(answer) == {"error": "the request was not sent in time"}
        assert opened.counts.late == 2


async def test_a_client_that_does_not_read_is_closed(folder: Path) -> None:
    """A long result is not kept for it."""
    async with control(folder, timeout_s=0.2) as opened:
        _reader, writer = await connected(folder)
        writer.transport.pause_reading()  # type: ignore[attr-defined] # of a read transport
        writer.write(b'{"command": "repeat", "arguments": {"count": 4000000}}\n')

        async with asyncio.timeout(patient(10.0)):
            while not opened.counts.late:  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0.01)

        assert await greeting(folder) == "hello world"
        writer.transport.abort()


async def test_a_client_that_goes_away_does_no_harm(folder: Path) -> None:
    """Before and after its request."""
    async with control(folder):
        for data in (b"", b'{"command": "repeat", "arguments": {"count": 4000000}}\n'):
            _reader, writer = await connected(folder)
            writer.write(data)
            writer.transport.abort()

        assert await greeting(folder) == "hello world"


async def test_connections_are_limited(folder: Path) -> None:
    """More clients than the limit are told to try again, and the others keep their places."""
    async with control(folder) as opened:
        waiting = [await connected(folder) for _ in range(control_socket.MAX_CONNECTIONS)]
        async with asyncio.timeout(patient(5.0)):
            answer = await answer_to(folder, b"")
        assert b"busy with other commands; try again" in answer
        assert opened.counts.refused_busy == 1

        _, writer = waiting.pop()
        writer.transport.abort()

        async with asyncio.timeout(patient(5.0)):
            while True:
                try:
                    assert await greeting(folder) == "hello world"
                    break
                except ControlError:
                    await asyncio.sleep(0.01)
        for _, writer in waiting:
            writer.transport.abort()


async def test_many_commands_at_once_are_answered(folder: Path) -> None:
    """Each of 100 clients at once gets its result or is told to try again."""
    async with control(folder):
        answers = await asyncio.gather(
            *(greeting(folder) for _ in range(100)), return_exceptions=True
        )

    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all("try again" in str(error) for error in refused), refused
    assert answers.count("hello world") + len(refused) == 100
    assert answers.count("hello world") > 0
