"""Runs commands as processes and reads their output."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.patience import patient

ROOT = Path(__file__).parents[3]
_TIMEOUT_S = 30.0
_URL = re.compile(r"https?://127\.0\.0\.1:\d+(?:/v1)?")


@dataclass(frozen=True)
class Finished:
    """The output and the exit code of a command."""

    code: int
    out: str
    err: str


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without settings of the server, and with `changes`."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PHOENIX_COMPAT_", "REPLICATE_")) and name != "PUBLIC_URL"
    }
    return {**clean, **changes}


async def start(*arguments: str, **changes: str) -> asyncio.subprocess.Process:
    """Start Python with these arguments in the project's folder."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env=environment(changes),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process) -> Finished:
    """Wait until a process ends."""
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def run(*arguments: str, **changes: str) -> Finished:
    """Run Python with these arguments to the end."""
    return await finish(await start(*arguments, **changes))


async def listening_url(process: asyncio.subprocess.Process) -> str:
    """Read the output until it has the URL on which the process listens."""
    assert process.stdout is not None
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        while line := (await process.stdout.readline()).decode():
            if found := _URL.search(line):
                return found.group()
    raise AssertionError((await finish(process)).err)


@asynccontextmanager
async def server(
    *arguments: str, **changes: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start a server; yields the process and its URL. It is ended by SIGTERM if it still runs."""
    process = await start(*arguments, **changes)
    try:
        yield process, await listening_url(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await finish(process)
