"""Nodes in one process of the tests, on one database, with one emulator for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from phoenix_compat.emulator import Emulator
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from phoenix_compat.server.process.settings import Settings
from tests.integration.task_server import SPEED, Client, settings_for

TOKEN = "r8_of_the_nodes"


class RunningNode(Client):
    """A node, and a client of it.

    Attributes:
        app: its application.
    """

    app: web.Application


@asynccontextmanager
async def shared_emulator(**changes: Any) -> AsyncIterator[Emulator]:
    """The provider of all nodes."""
    settings = EmulatorSettings(**{"speed": SPEED, "api_token": TOKEN, **changes})
    async with Emulator(settings) as emulator:
        yield emulator


def node_settings(folder: Path, database_url: str, emulator: Emulator, **fields: Any) -> Settings:
    """The settings of a node with a folder of its own."""
    return settings_for(
        folder,
        database_url=SecretStr(database_url),
        replicate_api_token=SecretStr(TOKEN),
        replicate_base_url=emulator.base_url,
        file_hosts=(emulator.origin,),
        **fields,
    )


@asynccontextmanager
async def running_node(settings: Settings) -> AsyncIterator[RunningNode]:
    """Run a node."""
    async with (
        open_app(settings) as app,
        listening(app, "127.0.0.1", 0) as url,
        RunningNode.of(url) as node,
    ):
        node.app = app
        yield node


@asynccontextmanager
async def running_nodes(
    folder: Path,
    database_url: str,
    count: int = 2,
    *,
    emulator: Emulator | None = None,
    **fields: Any,
) -> AsyncIterator[list[RunningNode]]:
    """Run several nodes, with an emulator unless there is one."""
    async with AsyncExitStack() as stack:
        if emulator is None:
            emulator = await stack.enter_async_context(shared_emulator())
        yield [
            await stack.enter_async_context(
                running_node(
                    node_settings(folder / f"node-{number}", database_url, emulator, **fields)
                )
            )
            for number in range(count)
        ]
