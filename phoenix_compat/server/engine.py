"""Builds the task engine of a server from its settings, and checks the settings that it uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.origin import parse_check_origin
from phoenix_compat.server.auth.setup import check_auth
from phoenix_compat.server.backends.own_sockets import check_own_sockets
from phoenix_compat.server.database import check_drivers, make_clock, open_database, schema_sql
from phoenix_compat.server.http.browsers.host_and_origin import check_origin_of
from phoenix_compat.server.http.webhooks import WEBHOOK_PATH
from phoenix_compat.server.process.config.reload import Budget
from phoenix_compat.server.process.listening import check_loop
from phoenix_compat.server.process.maintenance import Maintenance
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.setting_errors import SettingsError
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.download_hosts import REPLICATE_HOSTS
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task import Task, task_list_entry
from phoenix_compat.tasks.model.task_types import TaskType, with_default_model
from phoenix_compat.tasks.model.task_types_file import load_task_types, packaged_task_types
from phoenix_compat.tasks.observability.tracing import TaskTracer
from phoenix_compat.tasks.provider.input_files import InputFiles
from phoenix_compat.tasks.provider.replicate.files import ReplicateFiles
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.token_check import TokenCheck
from phoenix_compat.tasks.store.outbox.deliveries import DeliveryStore
from phoenix_compat.tasks.store.outbox.outbox import Outbox, Subscription
from phoenix_compat.tasks.store.sent_file_store import SentFileStore
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from phoenix_compat.tasks.streams.output_sink import OutputSink
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Announce
from phoenix_compat.tasks.worker.worker import Worker

__all__ = ["Engine", "check_settings", "open_engine", "schema_sql", "task_types_of", "webhook_url"]

if TYPE_CHECKING:
    from phoenix_compat.tasks.outgoing.dispatcher import WebhookDispatcher
    from phoenix_compat.tasks.store.leases.lease_store import LeaseStore
    from phoenix_compat.tasks.store.leases.role_lease import Job, RoleLease


_OWN_EMULATOR: Final = (
    "there is no token, so each server has an emulator of its own, and a task whose server ends is "
    "not found by the others; run one emulator for all, and set REPLICATE_BASE_URL"
)

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The parts of the task engine that every process of a server has.

    Attributes:
        store: closed while another process has the database; see `open_store`.
        task_types: by name; a reload changes them in place.
        webhooks: sends events to the operator's webhooks; None if there are none.
        roles: the jobs that this node does for all, or waits for.
    """

    settings: Settings
    store: TaskStore
    provider: ReplicateProvider
    archive: Archive
    uploads: UploadStore
    maintenance: Maintenance
    task_types: dict[str, TaskType]
    budget: Budget
    webhooks: WebhookDispatcher | None
    roles: list[RoleLease] = field(default_factory=list)

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks of these parts."""
        sending = () if self.webhooks is None else self.webhooks.background
        roles = (role.background for role in self.roles)
        return (self.maintenance.background, *sending, *roles)

    def worker(
        self,
        announce: Announce,
        outputs: OutputSink,
        options: WorkerOptions | None,
        tracer: TaskTracer,
        leases: LeaseStore | None = None,
    ) -> Worker:
        """A worker that does nothing yet.

        Args:
            announce, outputs, tracer, leases: see Worker.
            options: None takes them from the settings.
        """
        return Worker(
            self.store,
            self.provider,
            self._announcing(announce),
            options=options or _worker_options(self.settings),
            task_types=self.task_types,
            archive=self.archive,
            outputs=outputs,
            policy=self.budget.policy,
            tracer=tracer,
            clock=self.store.clock,
            leases=leases,
        )

    def wake_webhooks(self) -> None:
        """Look for events that webhooks must get now."""
        if self.webhooks is not None:
            self.webhooks.wake()

    def _announcing(self, announce: Announce) -> Announce:
        """Announce changes, and look for what webhooks must get of them."""
        webhooks = self.webhooks
        if webhooks is None:
            return announce

        def announce_all(task: Task) -> None:
            announce(task)
            webhooks.wake()

        return announce_all

    async def open_store(self) -> None:
        """Open the database in this process. Raises StoreOpenError."""
        self.store.reopen(await open_database(self.settings, self.store.clock))

    def _shared(self, leases: LeaseStore, name: str, job: Job) -> RoleLease:
        """A job that one node does for all."""
        from phoenix_compat.tasks.store.leases.role_lease import RoleLease  # noqa: PLC0415 - rare

        self.roles.append(RoleLease(leases, name, job))
        return self.roles[-1]

    async def start(
        self, worker: Worker, stack: AsyncExitStack, leases: LeaseStore | None = None
    ) -> None:
        """Start what runs where the database is.

        Args:
            leases: those of this node, where several share the database. Then one of them prunes
                and sends webhooks for all.
        """
        await self.archive.open()
        stack.push_async_callback(self.archive.close)
        jobs: dict[str, Job] = {"maintenance": self.maintenance}
        if self.webhooks is not None:
            jobs["webhooks"] = self.webhooks
        for name, job in jobs.items():
            job_here = job if leases is None else self._shared(leases, name, job)
            job_here.start()
            stack.push_async_callback(job_here.stop)
        await worker.start()
        stack.push_async_callback(worker.stop)
        if self.settings.has_token:
            check = TokenCheck(self.provider, worker.account_refused)
            check.start()
            stack.push_async_callback(check.stop)


async def open_engine(
    settings: Settings,
    stack: AsyncExitStack,
    worker_process: WorkerProcess | None,
    *,
    opens_store: bool,
) -> Engine:
    """Open the parts of the engine; the stack closes them.

    Args:
        opens_store: whether to open the database, before anything else is started.

    Raises:
        ConfigError: a setting turned out to be wrong when it was used.
        StoreOpenError: the database cannot be opened; the text says why.
    """
    store = await stack.enter_async_context(TaskStore(None, make_clock(settings)))
    if opens_store:
        store.reopen(await open_database(settings, store.clock))
    address = await _open_address(settings, stack, worker_process)
    archive = _archive(settings, address.file_hosts, store.clock)
    provider = _provider(settings, address, archive, SentFileStore(store, store.clock))
    stack.push_async_callback(provider.close)
    uploads = UploadStore(store, clock=store.clock)
    types = dict(await asyncio.to_thread(task_types_of, settings))
    return Engine(
        settings=settings,
        store=store,
        provider=provider,
        archive=archive,
        uploads=uploads,
        maintenance=Maintenance(settings, store, archive, uploads, store.clock),
        task_types=types,
        budget=_budget(store, uploads, types, settings),
        webhooks=_webhooks(store, settings),
    )


def _webhooks(store: TaskStore, settings: Settings) -> WebhookDispatcher | None:
    """Keep events for the operator's webhooks from now on, and send them once it is started."""
    if not settings.on_task_webhooks:
        return None
    from phoenix_compat.tasks.outgoing import dispatcher, sender  # noqa: PLC0415 - rarely needed

    receivers = [
        sender.Webhook(
            name=one.name,
            url=one.url,
            secret=one.secret,
            events=frozenset(one.events),
            allow_private=one.allow_private,
        )
        for one in settings.on_task_webhooks
    ]
    base_url = (settings.public_url or "").rstrip("/")
    store.outbox = Outbox(
        [Subscription(one.name, one.events) for one in receivers],
        partial(task_list_entry, base_url=base_url, with_owner=True),
    )
    return dispatcher.WebhookDispatcher(
        receivers, DeliveryStore(store, store.clock), clock=store.clock
    )


class _Address(NamedTuple):
    """Where the provider is, and the further hosts of its files."""

    token: str
    base_url: str
    file_hosts: tuple[str, ...]


async def _open_address(
    settings: Settings, stack: AsyncExitStack, worker_process: WorkerProcess | None
) -> _Address:
    """The address of the provider: Replicate, or without a token the emulator."""
    hosts: tuple[str, ...] = ()
    if settings.replicate_api_token is not None and settings.has_token:
        token = settings.replicate_api_token.get_secret_value()
        base_url = settings.replicate_base_url
    elif worker_process is not None and worker_process.emulator_url is not None:
        token, base_url = worker_process.emulator_token or "", worker_process.emulator_url
        hosts = (_origin(base_url),)
    else:
        if settings.is_shared:
            log.warning("provider.own_emulator", reason=_OWN_EMULATOR)
        # Not imported by servers with a token: it is a tenth of all that would be.
        from phoenix_compat.emulator import Emulator  # noqa: PLC0415
        from phoenix_compat.server.process.own_emulator import (  # noqa: PLC0415
            own_emulator_settings,
        )

        emulator_settings = own_emulator_settings(settings)
        emulator = await stack.enter_async_context(
            Emulator(
                emulator_settings,
                # Its clients are this server's tasks, with a stream each, and browsers that show
                # their pictures.
                max_connections=2 * settings.concurrency + 16,
            )
        )
        token, base_url = emulator_settings.api_token or "", emulator.base_url
        hosts = (emulator.origin,)
    return _Address(token, base_url, hosts)


def _provider(
    settings: Settings, address: _Address, archive: Archive, sent: SentFileStore
) -> ReplicateProvider:
    input_files = InputFiles(
        archive.inputs.find,
        ReplicateFiles(address.token, address.base_url),
        sent,
        public_url=settings.public_url if settings.send_inputs_as_links else None,
    )
    return ReplicateProvider(
        token=address.token,
        base_url=address.base_url,
        deadline_s=settings.deadline_s,
        webhook_url=webhook_url(settings),
        input_files=input_files,
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _archive(settings: Settings, hosts: tuple[str, ...], clock: Clock | None = None) -> Archive:
    """The archived files: every process reads them, the one that opens the archive writes."""
    return Archive(
        settings.files_path,
        allowed_hosts=(*REPLICATE_HOSTS, *settings.file_hosts, *hosts),
        max_file_bytes=settings.max_file_bytes,
        max_total_bytes=settings.archive_max_bytes,
        keeps_metadata=settings.keep_upload_metadata,
        is_shared=settings.is_shared or settings.shared_folder is not None,
        bucket=settings.bucket,
        clock=clock,
    )


def task_types_of(settings: Settings) -> Mapping[str, TaskType]:
    """The packaged task types and the operator's, with the default model of the settings."""
    task_types = dict(packaged_task_types())
    if settings.task_types_file is not None:
        task_types |= load_task_types(
            settings.task_types_file, settings.contents.get("task_types_file")
        )
    try:
        return with_default_model(
            task_types, "image", settings.default_model, settings.fallback_models
        )
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error


def _budget(
    store: TaskStore, uploads: UploadStore, task_types: Mapping[str, TaskType], settings: Settings
) -> Budget:
    budget = Budget(store, uploads, ModelPolicy(task_types), _policy_rules)
    budget.change(settings)
    return budget


def _policy_rules(settings: Settings) -> PolicyRules:
    return settings.policy_rules(is_open=not settings.has_auth)


def _check_allowed_models(settings: Settings) -> None:
    """Check that the default model may run. Raises ConfigError."""
    policy = ModelPolicy(task_types_of(settings), _policy_rules(settings))
    if not policy.allows(settings.default_model):
        raise ConfigError(
            f"allowed_models: does not have the default model, {settings.default_model}; add it, "
            "or choose another default_model"
        )


def check_settings(settings: Settings) -> None:
    """Check the settings that are otherwise checked on use: task types, origins, hosts. Blocking.

    Raises:
        SettingsError: a line for each that cannot work.
    """
    attempts: tuple[Callable[[], object], ...] = (
        lambda: task_types_of(settings),
        lambda: _check_allowed_models(settings),
        lambda: _archive(settings, ()),
        lambda: parse_check_origin(check_origin_of(settings)),
        lambda: check_loop(settings.loop),
        lambda: check_auth(settings),
        lambda: check_drivers(settings),
        lambda: check_own_sockets(settings.channels_module, settings.channels_path),
    )
    problems: list[str] = []
    for attempt in attempts:
        try:
            attempt()
        except ConfigError as error:
            problems += str(error).splitlines()
    if problems:
        raise SettingsError(problems)


def _worker_options(settings: Settings) -> WorkerOptions:
    return WorkerOptions(
        concurrency=settings.concurrency,
        deadline_s=settings.deadline_s,
        max_repeats=settings.max_repeats,
    )


def webhook_url(settings: Settings) -> str | None:
    """The address for Replicate's webhooks; None if it cannot reach us, or is emulated."""
    public_url = settings.public_url or ""
    if not settings.has_token or not public_url.startswith("https://"):
        return None
    return public_url.rstrip("/") + WEBHOOK_PATH
