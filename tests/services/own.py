"""A server of one test's own, which it may stop, pause, kill and start again on the same port."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.patience import patient

_START_S: Final = 20.0


class OwnServer:
    """A server as a process.

    Args:
        command: the program and its arguments; it must stay in the foreground.
        is_ready: whether it answers.
        log: a file that gets what it prints.
        stop_signal: ends it in the usual way.
    """

    def __init__(
        self,
        command: Sequence[str],
        is_ready: Callable[[], bool],
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._command = command
        self._is_ready = is_ready
        self._log = log
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Blocks."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + patient(_START_S)
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                text = self._log.read_text(errors="replace")
                raise RuntimeError(f"{self._command[0]} did not start:\n{text}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it in the usual way, and wait for its end. Blocks."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it by SIGKILL. Blocks."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it do nothing, while its connections stay open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    async def restart(self, *, down_s: float = 0.0) -> None:
        """Kill it and start it again, without blocking this event loop.

        Args:
            down_s: how long it is away, in seconds.
        """
        await asyncio.to_thread(self.kill)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(self.start)

    def _end(self, by: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(by)
        process.send_signal(signal.SIGCONT)  # a paused one would not notice
        try:
            process.wait(patient(10.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
