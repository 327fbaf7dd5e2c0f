"""Settings, backups and the doctor, under `/api/console`.

GET  /api/console/settings     every setting, its origin, and what a reload would change
GET  /api/console/backup       the last backup that was asked for, with its progress
POST /api/console/backup       begin one; 409 while one is being written
POST /api/console/doctor       run all checks; the answer has their findings
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.console.context import ConsoleContext, operator_of
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.inspection.backups import BackupBusyError, Backups, BackupState
from phoenix_compat.server.inspection.inspection import INSPECTION
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.inspection.settings_view import settings_view
from phoenix_compat.server.process.config.reload import RELOADABLE_SETTINGS

_NO_STORE: Final = {"Cache-Control": "no-store"}

T = TypeVar("T")


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the routes."""
    tools = context.app[INSPECTION].tools
    backups = None if tools is None else Backups(context.settings, tools)
    examining = asyncio.Lock()

    async def show_settings(request: web.Request) -> web.Response:
        operator_of(request)
        running = context.app[RELOADABLE_SETTINGS].applied or context.settings
        return _answer(await settings_view(running, tools))

    async def show_backup(request: web.Request) -> web.Response:
        operator_of(request)
        return _answer(BackupState(state="unavailable") if backups is None else backups.state)

    async def start_backup(request: web.Request) -> web.Response:
        operator_of(request)
        try:
            return _answer(_required(backups).start(), status=202)
        except BackupBusyError as error:
            raise ProblemError(409, "busy", f"{_sentence(error)}.") from error

    async def examine(request: web.Request) -> web.Response:
        operator_of(request)
        found_tools = _required(tools)
        if examining.locked():
            raise ProblemError(409, "busy", "The doctor is examining already; wait for its end.")
        async with examining:
            return _answer({"findings": await _findings(found_tools)})

    if backups is not None:
        context.app.on_cleanup.append(lambda _app: backups.stop())
    router.add_get("/api/console/settings", show_settings)
    router.add_get("/api/console/backup", show_backup)
    router.add_post("/api/console/backup", start_backup)
    router.add_post("/api/console/doctor", examine)


async def _findings(tools: OperatorTools) -> list[dict[str, str]]:
    try:
        found = await asyncio.to_thread(tools.load)
    except ConfigError as error:
        return [
            {
                "name": "config",
                "status": "fail",
                "detail": str(error),
                "remedy": "correct these settings; docs/settings.md explains them",
            }
        ]
    return [
        {
            "name": finding.name,
            "status": finding.status,
            "detail": finding.detail,
            "remedy": finding.remedy,
        }
        async for finding in tools.examine(found)
    ]


def _required(found: T | None) -> T:
    if found is None:
        raise ProblemError(
            503, "unavailable", "This server was not started by the command phoenix-compat serve."
        )
    return found


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _answer(body: Any, *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=_NO_STORE,
    )
