"""Runs commands on a terminal of a certain width, which answers queries like a real one."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
from typing import Final, NamedTuple

from tests.integration.operations.commands import ROOT, environment
from tests.patience import patient

SIXEL: Final = b"\x1b[?62;4c"
NO_PICTURES: Final = b"\x1b[?62c"
_QUERY: Final = b"\x1b[c"
_TIMEOUT_S: Final = 30.0
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|_[^\x1b]*\x1b\\|P[^\x1b]*\x1b\\)")


class Shown(NamedTuple):
    """What a command wrote to its terminal.

    Attributes:
        raw: everything.
        lines: the lines as they were at the end, without escape sequences.
    """

    code: int
    raw: str
    lines: list[str]


async def on_terminal(
    *arguments: str, columns: int = 80, answer: bytes = NO_PICTURES, **changes: str
) -> Shown:
    """Run a command of the program to its end.

    Args:
        answer: what the terminal says of itself.
    """
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = environment({"TERM": "xterm-256color", "COLUMNS": "", **changes})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "phoenix_compat", *arguments),
        cwd=ROOT,
        env={name: value for name, value in variables.items() if value},
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    try:
        raw = await asyncio.to_thread(_read, parent, answer)
        code = await process.wait()
    finally:
        os.close(parent)
    text = raw.decode(errors="replace")
    lines = [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
    return Shown(code, text, [_ESCAPES.sub("", line) for line in lines])


def _read(parent: int, answer: bytes) -> bytes:
    """What the command writes until it ends; its query is answered once."""
    written, is_answered = b"", False
    end_s = time.monotonic() + patient(_TIMEOUT_S)
    while time.monotonic() < end_s:
        if not select.select([parent], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(parent, 65_536)
        except OSError:  # the command has ended
            return written
        if not data:
            return written
        written += data
        if _QUERY in written and not is_answered:
            is_answered = True
            os.write(parent, answer)
    raise TimeoutError("the command did not end")
