"""`admin:overview`: the state of the whole server, once a second."""

from __future__ import annotations

from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.live_channel import LiveChannel
from phoenix_compat.tasks.model.task import JSONObject
from phoenix_compat.version import __version__


class OverviewChannel(LiveChannel):
    """What the first screen shows."""

    async def read(self, context: ConsoleContext) -> JSONObject:
        """The state of this process."""
        return {
            "version": __version__,
            "running": context.worker.running,
            "sockets": context.server_endpoint.connections,
        }
