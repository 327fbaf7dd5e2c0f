"""What systemd is told: that the server is ready, that it lives, that it stops.

The protocol of sd_notify(3): lines in a datagram to the socket that NOTIFY_SOCKET names. With
`--workers` the supervisor tells it; a worker that hangs is not seen here, one that dies is started
again by the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self

from phoenix_compat.background import BackgroundTask
from phoenix_compat.errors import ConfigError

_USEC_PER_S: Final = 1_000_000

log = logging.getLogger(__name__)


class ServiceManager:
    """Tells systemd how it stands; without NOTIFY_SOCKET it does nothing.

    Inside the block the watchdog is told that the loop lives, twice in each of its intervals; a
    loop that hangs says nothing, and systemd ends and restarts the process.

    Attributes:
        lost: how many messages could not be sent.

    Raises:
        ConfigError: when made, the environment is not what systemd sets.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.lost = 0
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._interval_s = _interval_s(environment)
        self._line: socket.socket | None = None
        self._beating: BackgroundTask | None = None

    async def __aenter__(self) -> Self:
        if self._address is not None:
            self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._line.settimeout(0)
            if self._interval_s is not None:
                beat = partial(self._beat, self._interval_s)
                self._beating = BackgroundTask("watchdog", beat)
                self._beating.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._beating is not None:
            await self._beating.stop()
        if self._line is not None:
            self._line.close()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The task that tells the watchdog, if there is one."""
        return () if self._beating is None else (self._beating,)

    def ready(self, url: str) -> None:
        """The server answers at this URL."""
        self._tell(f"READY=1\nSTATUS=listening on {url}")

    def stopping(self) -> None:
        """The server drains its clients and ends."""
        self._tell("STOPPING=1\nSTATUS=draining")

    async def _beat(self, interval_s: float) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(interval_s / 2)

    def _tell(self, words: str) -> None:
        if self._line is None or self._address is None:
            return
        try:
            self._line.sendto(words.encode(), self._address)
        except OSError as error:
            # A full socket or none: systemd will find out by its timeouts, and so do people here.
            self.lost += 1
            log.warning(
                "notify.lost",
                extra={"words": words.partition("\n")[0], "reason": str(error)},
            )


def _address(text: str) -> str | None:
    """The address as Python wants it; systemd writes an abstract one with @."""
    if not text:
        return None
    if text[0] not in "/@":
        raise ConfigError(f"NOTIFY_SOCKET: {text!r} is neither a path nor begins with @")
    return "\0" + text[1:] if text[0] == "@" else text


def _interval_s(environment: Mapping[str, str]) -> float | None:
    """How often the watchdog wants to hear from this process, if it does."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"WATCHDOG_USEC: {text!r} is no number of microseconds")
    return int(text) / _USEC_PER_S
