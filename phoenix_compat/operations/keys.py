"""Carries out commands about API keys and webhooks, in the running server or without one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.control.client import NotListeningError, send_command
from phoenix_compat.server.control.key_commands import CREATE, REVOKE, key_commands
from phoenix_compat.server.control.messages import SOCKET_NAME
from phoenix_compat.server.control.webhook_commands import webhook_commands
from phoenix_compat.server.database import open_store
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.errors import StoreInUseError, StoreOpenError
from phoenix_compat.tasks.store.task_store import TaskStore

WAIT_S: Final = 10.0
"""How long to wait for a server that has the database but no control socket, as while it starts."""
_RETRY_S: Final = 0.2


async def run_key_command(
    settings: Settings, command: str, arguments: Mapping[str, object], *, wait_s: float = WAIT_S
) -> Any:
    """Carry out one of `key_commands` or `webhook_commands`, and return its result.

    Raises:
        ControlError: the running server refused or could not do it.
        PhoenixCompatError: the same, without a server.
        StoreInUseError: another process uses the database and takes no commands.
        StoreOpenError: the database cannot be used, or there is none.
        ConfigError: root would create files that the server could not use.
    """
    path = settings.database_path
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    while True:
        try:
            return await send_command(settings.data_dir / SOCKET_NAME, command, arguments)
        except NotListeningError:
            pass
        if settings.is_shared:
            async with await open_store(settings) as shared:
                return await _run_shared(shared, settings, command, arguments)
        await asyncio.to_thread(_check_data, path, may_create=command == CREATE)
        try:
            store = await open_store(settings)
        except StoreInUseError as error:
            if loop.time() > deadline_s:
                reason = (
                    "another process uses it and takes no commands; if it is a server of an older "
                    "version, restart or stop it"
                )
                raise StoreInUseError(path, reason) from error
            await asyncio.sleep(_RETRY_S)
            continue
        async with store:
            return await _run(store, settings, command, arguments)


async def _run_shared(
    store: TaskStore, settings: Settings, command: str, arguments: Mapping[str, object]
) -> Any:
    """Carry out a command in a database that running servers may share, and tell them.

    A server that does not hear of it learns of it within half a minute.
    """
    # A server on SQLite imports none of it.
    from phoenix_compat.server.nodes.buses import make_bus  # noqa: PLC0415
    from phoenix_compat.server.nodes.node_keys import CHANGED  # noqa: PLC0415

    result = await _run(store, settings, command, arguments)
    if command in {CREATE, REVOKE}:
        async with make_bus(settings) as bus:
            if await bus.catch_up():
                bus.cast(CHANGED, b"")
    return result


async def _run(
    store: TaskStore, settings: Settings, command: str, arguments: Mapping[str, object]
) -> Any:
    keys = KeyStore(store)
    await keys.start()
    try:
        commands = {**key_commands(keys, store.adopt), **webhook_commands(store, settings)}
        return await commands[command](arguments)
    finally:
        await keys.stop()


def _check_data(database: Path, *, may_create: bool) -> None:
    """Check who owns the data directory, and that the database exists if it must."""
    if not may_create and not database.is_file():
        raise StoreOpenError(
            database, "the file does not exist; set the data directory with --data-dir"
        )
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not database.parent.is_dir():
        return
    owner = database.parent.stat().st_uid
    if owner != 0:
        raise ConfigError(
            f"{database.parent} belongs to user {_user_name(owner)}, and files that root creates "
            "there would stop the server from starting; run this command as that user, for "
            f"example: runuser -u {_user_name(owner)} -- phoenix-compat keys …"
        )


def _user_name(user: int) -> str:
    import pwd  # noqa: PLC0415 - missing on Windows

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"
