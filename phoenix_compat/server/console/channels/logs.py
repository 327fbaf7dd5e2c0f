"""`admin:logs`: the last log lines that fit to a filter, on request."""

from __future__ import annotations

from phoenix_compat.channel import on
from phoenix_compat.result import Result
from phoenix_compat.server.console.channels.answers import (
    AnsweringChannel,
    answered,
    inspection_of,
)
from phoenix_compat.server.inspection.log_lines import LogQuery
from phoenix_compat.socket import Socket


class LogsChannel(AnsweringChannel):
    """`list`."""

    @on("list", LogQuery)
    async def list(self, query: LogQuery, socket: Socket) -> Result:
        """Answer with a LogPage."""
        return await answered(inspection_of(socket).logs.list(query))
