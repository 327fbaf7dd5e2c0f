"""Notifies systemd that the server is ready, alive and stopping.

The protocol is that of sd_notify(3): lines in a datagram to the socket that NOTIFY_SOCKET names.
With `--workers` the supervisor notifies. It restarts workers that die or hang.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from functools import partial
from typing import Final, Self

from phoenix_compat.background import BackgroundTask
from phoenix_compat.errors import ConfigError

_USEC_PER_S: Final = 1_000_000

log = logging.getLogger(__name__)


class ServiceManager:
    """Sends notifications to systemd; without NOTIFY_SOCKET it does nothing.

    Inside the block it notifies the watchdog twice in each watchdog interval. A loop that hangs
    sends nothing, and systemd restarts the process.

    Attributes:
        lost: how many notifications could not be sent.

    Raises:
        ConfigError: on construction, if the environment is not one that systemd sets.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.lost = 0
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._interval_s = _interval_s(environment)
        self._socket: socket.socket | None = None
        self._watchdog: BackgroundTask | None = None

    async def __aenter__(self) -> Self:
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(0)
            if self._interval_s is not None:
                notify = partial(self._notify_watchdog, self._interval_s)
                self._watchdog = BackgroundTask("watchdog", notify)
                self._watchdog.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._watchdog is not None:
            await self._watchdog.stop()
        if self._socket is not None:
            self._socket.close()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The task that notifies the watchdog, if there is one."""
        return () if self._watchdog is None else (self._watchdog,)

    def ready(self, url: str) -> None:
        """Notify that the server answers at this URL."""
        self._notify(f"READY=1\nSTATUS=listening on {url}")

    def stopping(self) -> None:
        """Notify that the server drains its clients and stops."""
        self._notify("STOPPING=1\nSTATUS=draining")

    async def _notify_watchdog(self, interval_s: float) -> None:
        while True:
            self._notify("WATCHDOG=1")
            await asyncio.sleep(interval_s / 2)

    def _notify(self, message: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            # The socket is full or gone: systemd notices by its own timeouts.
            self.lost += 1
            log.warning(
                "systemd.notify_failed",
                extra={"notification": message.partition("\n")[0], "reason": error.strerror},
            )


def _address(text: str) -> str | None:
    """The socket's address in Python's form; systemd writes an abstract one with @."""
    if not text:
        return None
    if text[0] not in "/@":
        raise ConfigError(f"NOTIFY_SOCKET: {text!r} must be a path or begin with @")
    return "\0" + text[1:] if text[0] == "@" else text


def _interval_s(environment: Mapping[str, str]) -> float | None:
    """The interval in which the watchdog expects this process, if it does."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"WATCHDOG_USEC: {text!r} must be a number of microseconds")
    return int(text) / _USEC_PER_S
