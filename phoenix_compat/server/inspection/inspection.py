"""All that operators can see and do, for the console and the commands."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.inspection.frames import Frames
from phoenix_compat.server.inspection.limits import LimitsStatus
from phoenix_compat.server.inspection.log_lines import LogLines
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.inspection.provider import ProviderStatus
from phoenix_compat.server.inspection.sockets import Sockets
from phoenix_compat.server.inspection.topics import Topics
from phoenix_compat.server.process.logs.recent_lines import recent_lines
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker


class Inspection:
    """What there is to see, by subject.

    Attributes:
        frames: the messages of a client, as they pass.
        keys: the API keys; in the process that has the database.
        limits: what may be ordered, and what was; in that process, too.
        provider: how the provider does.
        sockets: the connected clients.
        tools: the commands that the console may call; None for a server that no command started.
        topics: the topics that they have joined.
        logs: the last log lines.
    """

    def __init__(  # noqa: PLR0913 - the parts of the server, by name
        self,
        endpoint: Endpoint,
        processes: Processes,
        *,
        worker: Worker,
        store: TaskStore,
        keys: KeyStore,
        tools: OperatorTools | None,
    ) -> None:
        self.tools = tools
        self.frames = Frames(endpoint, processes, None if tools is None else tools.check_frames)
        self.keys = keys
        self.limits = LimitsStatus(store)
        self.provider = ProviderStatus(worker, processes)
        self.sockets = Sockets(endpoint, processes)
        self.topics = Topics(endpoint, processes)
        self.logs = LogLines(processes, recent_lines)


INSPECTION: Final = web.AppKey("inspection", Inspection)
