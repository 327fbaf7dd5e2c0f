"""All that operators can see and do, for the console and the commands."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.inspection.log_lines import LogLines
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.inspection.sockets import Sockets
from phoenix_compat.server.inspection.topics import Topics
from phoenix_compat.server.process.logs.recent_lines import recent_lines


class Inspection:
    """What there is to see, by subject.

    Attributes:
        sockets: the connected clients.
        topics: the topics that they have joined.
        logs: the last log lines.
    """

    def __init__(self, endpoint: Endpoint, processes: Processes) -> None:
        self.sockets = Sockets(endpoint, processes)
        self.topics = Topics(endpoint, processes)
        self.logs = LogLines(processes, recent_lines)


INSPECTION: Final = web.AppKey("inspection", Inspection)
