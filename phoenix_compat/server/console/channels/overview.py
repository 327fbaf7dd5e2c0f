"""`admin:overview`: the state of the whole server, once a second."""

from __future__ import annotations

from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.live_channel import LiveChannel
from phoenix_compat.server.console.overview import read_overview
from phoenix_compat.tasks.model.task import JSONObject


class OverviewChannel(LiveChannel):
    """What the first screen shows."""

    async def read(self, context: ConsoleContext) -> JSONObject:
        """See `read_overview`."""
        return await read_overview(context)
