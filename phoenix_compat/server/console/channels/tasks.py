"""`admin:tasks`: which tasks have changed. The lists are at `/api/console/tasks`."""

from __future__ import annotations

import logging

from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import JSON
from phoenix_compat.result import Result, ok
from phoenix_compat.socket import Socket


class TasksChannel(Channel):
    """Gets the broadcasts of `TaskChanges`."""

    log_join = logging.DEBUG

    def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Accept everybody: the socket is for operators only."""
        del topic, payload, socket
        return ok()
