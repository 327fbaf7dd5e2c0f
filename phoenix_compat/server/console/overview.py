"""Reads what the overview shows: numbers, the last hour, and what needs attention.

Each process says what only it knows, and the one with the database what is in it. The numbers are
those of `GET /metrics`.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Final

import msgspec

from phoenix_compat.background import BackgroundState
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.console.attention import Situation, attention
from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.history import (
    SocketHistory,
    sockets_by_minute,
    tasks_by_minute,
)
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.server.metrics.snapshot import Snapshot
from phoenix_compat.server.process.listening import BACKGROUND
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task import JSONObject

RECENT: Final = timedelta(minutes=15)
"""How long ago failures still need attention."""
HISTORY_FOR_S: Final = 10.0
"""How long the last hour is not read from the database again."""

_PROCESS: Final = "console.process"
_DATABASE: Final = "console.database"
_HOUR: Final = timedelta(hours=1)


class OfProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What one process knows.

    Attributes:
        sockets: the most sockets by the number of the minute.
        restarting: why background tasks are being restarted, by name.
    """

    sockets: dict[int, int]
    restarting: dict[str, str]


class OfDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """What the process with the database knows.

    Attributes:
        problem: why the database cannot be used; "" if it can.
        hour: see `tasks_by_minute`.
        codes: the codes of the tasks that failed in the last `RECENT`.
        ended: how many tasks ended in that time.
        disabled_webhooks: why webhooks of the operator get no events any more, by name.
    """

    problem: str = ""
    oldest_queued_s: float = 0.0
    hour: JSONObject = msgspec.field(default_factory=dict)
    codes: list[str] = msgspec.field(default_factory=list)
    ended: int = 0
    disabled_webhooks: dict[str, str] = msgspec.field(default_factory=dict)


_of_process: Final = msgspec.json.Decoder(OfProcess)
_of_database: Final = msgspec.json.Decoder(OfDatabase)


class _Database:
    """Answers for the database, in the process that has it."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._clock = context.engine.store.clock
        self._read_at_s = float("-inf")
        self._hour: JSONObject = {}
        self._codes: list[str] = []
        self._ended = 0

    async def answer(self, _body: bytes) -> bytes:
        """What OfDatabase has, as JSON."""
        store = self._context.engine.store
        problem = await store.health_error()
        try:
            oldest = await store.oldest_queued_at()
            await self._read_hour()
            disabled = await self._disabled_webhooks()
        except StoreUnavailableError as error:
            return msgspec.json.encode(OfDatabase(problem=str(problem or error)))
        waited_s = 0.0 if oldest is None else (self._clock.now() - oldest).total_seconds()
        return msgspec.json.encode(
            OfDatabase(
                problem="" if problem is None else str(problem),
                oldest_queued_s=max(waited_s, 0.0),
                hour=self._hour,
                codes=self._codes,
                ended=self._ended,
                disabled_webhooks=disabled,
            )
        )

    async def _disabled_webhooks(self) -> dict[str, str]:
        webhooks = self._context.engine.webhooks
        statuses = () if webhooks is None else await webhooks.statuses()
        return {one.name: one.reason or "" for one in statuses if one.disabled_at is not None}

    async def _read_hour(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._read_at_s < HISTORY_FOR_S:
            return
        self._read_at_s = now_s
        now = self._clock.now()
        ended = await self._context.engine.store.ended_since(now - _HOUR)
        recent = [task for task in ended if task.completed_at > now - RECENT]
        self._hour = tasks_by_minute(ended, now.timestamp())
        self._codes = [task.code or "" for task in recent if not task.is_completed]
        self._ended = len(recent)


def answer_overview(context: ConsoleContext, history: SocketHistory) -> None:
    """Let this process answer for itself, and for the database when it has it."""
    database = _Database(context)

    async def of_process(_body: bytes) -> bytes:
        restarting = {
            name: str(report.get("reason", "it is being restarted"))
            for name, report in context.app[BACKGROUND].report.items()
            if report["state"] == BackgroundState.RESTARTING.value
        }
        answer = OfProcess(sockets=dict(history.minutes), restarting=restarting)
        return msgspec.json.encode(answer)

    context.processes.answer(_PROCESS, of_process)
    context.processes.answer(_DATABASE, database.answer)


async def read_overview(context: ConsoleContext) -> JSONObject:
    """All that the overview shows."""
    numbers, database, processes = await asyncio.gather(
        context.app[METRICS].snapshot(), _ask_database(context), _ask_processes(context)
    )
    settings = context.present_settings
    hour = (database or OfDatabase()).hour
    sockets = sockets_by_minute((one.sockets for one in processes), time.time())
    return {
        **msgspec.to_builtins(numbers),
        "concurrency": settings.concurrency,
        "cap_usd": settings.total_usd_per_day,
        "store": "unknown" if database is None else database.problem or "available",
        "hour": {**hour, "sockets": sockets},
        "attention": [
            item._asdict() for item in attention(_situation(context, numbers, database, processes))
        ],
    }


def _situation(
    context: ConsoleContext,
    numbers: Snapshot,
    database: OfDatabase | None,
    processes: list[OfProcess],
) -> Situation:
    settings, tasks = context.present_settings, numbers.tasks
    known = database or OfDatabase()
    restarting = {name: why for one in processes for name, why in one.restarting.items()}
    return Situation(
        has_leader=database is not None,
        store_problem=known.problem,
        restarting=restarting,
        circuit_reason=None if tasks is None else tasks.circuit_reason,
        is_emulated=not settings.has_token,
        is_open_to_all=settings.insecure_no_auth and not settings.has_auth,
        queued=0 if tasks is None else tasks.queued,
        oldest_queued_s=known.oldest_queued_s,
        running=0 if tasks is None else tasks.running,
        concurrency=settings.concurrency,
        ended=known.ended,
        codes=known.codes,
        spent_usd=None if tasks is None else tasks.spend_today_usd,
        cap_usd=settings.total_usd_per_day,
        missing_processes=numbers.missing_processes,
        disabled_webhooks=known.disabled_webhooks,
    )


async def _ask_database(context: ConsoleContext) -> OfDatabase | None:
    """What is in the database; None while no process has it."""
    try:
        return _of_database.decode(await context.processes.ask_leader(_DATABASE))
    except PhoenixCompatError:
        return None


async def _ask_processes(context: ConsoleContext) -> list[OfProcess]:
    answers = await context.processes.ask_all(_PROCESS)
    return [_of_process.decode(body) for body in answers.by_node.values()]
