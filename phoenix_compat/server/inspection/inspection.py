"""All that operators can see and do, for the console and the commands."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.inspection.sockets import Sockets
from phoenix_compat.server.inspection.topics import Topics


class Inspection:
    """What there is to see, by subject.

    Attributes:
        sockets: the connected clients.
        topics: the topics that they have joined.
    """

    def __init__(self, endpoint: Endpoint, processes: Processes) -> None:
        self.sockets = Sockets(endpoint, processes)
        self.topics = Topics(endpoint, processes)


INSPECTION: Final = web.AppKey("inspection", Inspection)
