"""Runs a channel's `terminate`, whose errors are logged and otherwise ignored."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from phoenix_compat.bounded import brief
from phoenix_compat.channel import Channel
from phoenix_compat.result import Reason
from phoenix_compat.runtime.spawner import Spawner
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)


def start_terminate(
    channel: Channel, socket: Socket, reason: Reason, spawner: Spawner
) -> asyncio.Task[Any] | None:
    """Call `terminate`. Returns its task if it has to wait, None if it is done."""
    try:
        returned = channel.terminate(reason, socket)
        if returned is not None:
            task = spawner.start(returned)
            if not task.done():
                return task
            task.result()
    except (Exception, asyncio.CancelledError):
        log.exception("terminate of the channel on %s failed", brief(socket.topic))
    return None


def log_terminate_error(task: asyncio.Task[Any], socket: Socket) -> None:
    """Log the error of a `terminate` task that is done, if there is one."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("terminate of the channel on %s failed", brief(socket.topic), exc_info=error)
