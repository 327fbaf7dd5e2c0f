"""Reads the settings again at SIGHUP, and applies those that can change in a running server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

import structlog
from aiohttp import web

from phoenix_compat.background import log_failure
from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.logs import set_log_level
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.budget import BudgetSettings
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from phoenix_compat.tasks.worker.worker import Worker

BUDGET_CAPS: Final = tuple(
    name for name in BudgetSettings.model_fields if name.startswith(("owner_", "total_"))
)
CHANGEABLE: Final = frozenset(
    {
        "access_log",
        "address_connects_per_minute",
        "address_creates_per_minute",
        "address_failed_credentials_per_minute",
        "address_joins_per_minute",
        "allow_unpriced_models",
        "allow_unsafe_inputs",
        "allowed_models",
        "archive_max_bytes",
        "concurrency",
        "default_model",
        "fallback_models",
        "keep_files_s",
        "keep_tasks_s",
        "log_level",
        "max_outputs",
        "owner_connects_per_minute",
        "owner_creates_per_minute",
        "owner_joins_per_minute",
        "owner_upload_bytes_per_day",
        *BUDGET_CAPS,
        "task_types_file",
        "trusted_proxies",
    }
)
"""Settings that apply on reload. All others are used once, at the start; they need a restart."""

log = structlog.stdlib.get_logger(__name__)


class Budget(NamedTuple):
    """The parts that limit what is ordered and sent.

    Attributes:
        rules_of: makes the policy's rules from settings.
    """

    store: TaskStore
    uploads: UploadStore
    policy: ModelPolicy
    rules_of: Callable[[Settings], PolicyRules]

    def change(self, settings: Settings) -> None:
        """Apply these settings from the next order on."""
        self.store.budget.set_caps(settings.caps)
        self.uploads.max_bytes_per_day = settings.owner_upload_bytes_per_day
        self.policy.rules = self.rules_of(settings)


class ReloadableSettings:
    """The parts of a running server to which changed settings are applied.

    Args:
        task_types: the table that the API uses; it is changed in place.
        load_task_types: makes that table from settings; blocking.
        more: functions that apply settings to further parts.

    Attributes:
        applied: the settings of the last reload; None before the first.
    """

    def __init__(
        self,
        task_types: dict[str, TaskType],
        load_task_types: Callable[[Settings], Mapping[str, TaskType]],
        worker: Worker,
        *,
        archive: Archive,
        more: Sequence[Callable[[Settings], None]],
    ) -> None:
        self._task_types = task_types
        self._load_task_types = load_task_types
        self._worker = worker
        self._archive = archive
        self._more = tuple(more)
        self.applied: Settings | None = None

    async def apply(self, settings: Settings) -> None:
        """Apply these settings.

        Raises:
            ConfigError: a task type is invalid; nothing was changed.
        """
        task_types = await asyncio.to_thread(self._load_task_types, settings)
        self._task_types.clear()
        self._task_types.update(task_types)
        self._worker.set_concurrency(settings.concurrency)
        self._archive.set_max_total_bytes(settings.archive_max_bytes)
        for change in self._more:
            change(settings)
        self.applied = settings


RELOADABLE_SETTINGS: Final = web.AppKey("reloadable", ReloadableSettings)
"""The key under which an application stores them."""


class Reloader:
    """Reads the settings again on request. An invalid file is logged and changes nothing.

    Args:
        settings: those with which the server was started.
        load: reads and checks the settings; blocking.
    """

    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        self._settings = settings
        self._load = load

    async def reload(self, reloadable: ReloadableSettings) -> None:
        """Apply what has changed, and log it together with what needs a restart."""
        try:
            new = await asyncio.to_thread(self._load)
            changed = {
                name
                for name in Settings.model_fields
                if getattr(new, name) != getattr(self._settings, name)
            }
            applied = changed & CHANGEABLE
            settings = self._settings.model_copy(
                update={name: getattr(new, name) for name in applied}
            ).with_contents(
                {
                    name: content
                    for name, content in self._settings.contents.items()
                    if name not in CHANGEABLE
                }
            )
            # The content of the task types file may have changed, even if its name has not.
            await reloadable.apply(settings)
        except ConfigError as error:
            log.error("config.refused", reason=str(error))  # noqa: TRY400 - not a bug
            return
        self._settings = settings
        set_log_level(settings.log_level)
        # A warning, so that it is logged at most levels: the operator waits for it.
        log.warning(
            "config.reloaded", changed=sorted(applied), needs_restart=sorted(changed - applied)
        )


@asynccontextmanager
async def reloading(
    opened: AbstractAsyncContextManager[web.Application],
    settings: Settings,
    load: Callable[[], Settings],
) -> AsyncIterator[web.Application]:
    """Open an application that reads its settings again at SIGHUP."""
    async with opened as app:
        reloader = Reloader(settings, load)
        loop = asyncio.get_running_loop()
        async with _one_by_one(lambda: reloader.reload(app[RELOADABLE_SETTINGS])) as hangup:
            loop.add_signal_handler(signal.SIGHUP, hangup)
            try:
                yield app
            finally:
                loop.remove_signal_handler(signal.SIGHUP)


@asynccontextmanager
async def reloading_supervisor(
    load: Callable[[], Settings], keep: Callable[[Settings], None]
) -> AsyncIterator[Callable[[], None]]:
    """The function that a supervisor calls at SIGHUP: it applies the log level to itself.

    Errors and changes are not logged here, because each worker process logs them.

    Args:
        keep: keeps valid settings for the workers that start from now on; blocking.
    """

    async def reload() -> None:
        with contextlib.suppress(ConfigError):
            settings = await asyncio.to_thread(load)
            set_log_level(settings.log_level)
            await asyncio.to_thread(keep, settings)

    async with _one_by_one(reload) as hangup:
        yield hangup


@asynccontextmanager
async def _one_by_one(
    reload: Callable[[], Coroutine[Any, Any, None]],
) -> AsyncIterator[Callable[[], None]]:
    """Run the reloads that the yielded function starts one after the other.

    Those that are not done are cancelled at the end of the block.
    """
    lock = asyncio.Lock()
    reloads: set[asyncio.Task[None]] = set()

    async def wait_and_reload() -> None:
        async with lock:
            await reload()

    def begin() -> None:
        reloading = asyncio.create_task(wait_and_reload(), name="reload")
        reloads.add(reloading)
        reloading.add_done_callback(reloads.discard)
        reloading.add_done_callback(log_failure)  # the settings stay; the next SIGHUP tries again

    try:
        yield begin
    finally:
        for reloading in tuple(reloads):
            reloading.cancel()
