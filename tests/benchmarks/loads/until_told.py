"""Lets a program of `companion` run until its standard input ends."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from typing import Any


def say_that_it_works() -> None:
    """Tell the one who started this program."""
    sys.stdout.write("working\n")
    sys.stdout.flush()


def run_until_told(work: Coroutine[Any, Any, Any]) -> None:
    """Run until the standard input ends, or until the work does; its error is this program's."""
    asyncio.run(_run(work))


async def _run(work: Coroutine[Any, Any, Any]) -> None:
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)

    def read() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(working.cancel)

    threading.Thread(target=read, daemon=True).start()
    try:
        await working
    except asyncio.CancelledError:
        return
