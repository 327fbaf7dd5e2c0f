"""Builds the task server from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from phoenix_compat.background import BackgroundReport
from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.endpoint import Endpoint, LongPollOptions, WebSocketOptions
from phoenix_compat.errors import ConfigError
from phoenix_compat.presence import Presence
from phoenix_compat.protocol.origin import parse_check_origin
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.task_channel import user_socket
from phoenix_compat.server.http.api import MAX_BODY_BYTES, add_task_routes
from phoenix_compat.server.http.files import add_file_routes
from phoenix_compat.server.http.host_and_origin import check_origin_of, guarding
from phoenix_compat.server.http.readiness import ready
from phoenix_compat.server.http.webhooks import WEBHOOK_PATH, add_webhook_route
from phoenix_compat.server.multiprocess.cluster import Cluster
from phoenix_compat.server.multiprocess.shared_feed import SharedFeed
from phoenix_compat.server.process.connection_limit import CONNECTIONS, connections_for
from phoenix_compat.server.process.listening import BACKGROUND, check_loop
from phoenix_compat.server.process.maintenance import Maintenance
from phoenix_compat.server.process.reload import RELOADABLE_SETTINGS, ReloadableSettings
from phoenix_compat.server.process.setting_errors import SettingsError
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.download_hosts import REPLICATE_HOSTS
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.task_types import TaskType, with_default_model
from phoenix_compat.tasks.model.task_types_file import load_task_types, packaged_task_types
from phoenix_compat.tasks.provider.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.webhooks import WebhookVerifier
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.transports.aiohttp import mount
from phoenix_compat.version import __version__

_EMULATOR_TOKEN: Final = "r8_emulator"  # noqa: S105 - the emulator accepts any

_MAX_MESSAGE_BYTES: Final = 64 * 1024
_MAX_FRAME_HEADER_BYTES: Final = 14
WEBSOCKET: Final = WebSocketOptions(
    max_frame_bytes=_MAX_MESSAGE_BYTES + _MAX_FRAME_HEADER_BYTES,
    max_message_bytes=_MAX_MESSAGE_BYTES,
    frame_timeout_s=30.0,
)
"""Messages of the task channel are short; Phoenix's own limit is 8 MB."""
LONG_POLL: Final = LongPollOptions(max_body_bytes=MAX_BODY_BYTES)

_INDEX: Final = """phoenix_compat {version}

POST /api/tasks          {{"input_data": {{"type": "image", "prompt": "Medieval monk"}}}}
GET  /api/tasks/<id>     the state of a task
     /socket             Phoenix Channels: join "task:<id>" to receive "progress"
"""


@asynccontextmanager
async def open_app(
    settings: Settings,
    options: WorkerOptions | None = None,
    worker_process: WorkerProcess | None = None,
    websocket: WebSocketOptions = WEBSOCKET,
) -> AsyncIterator[web.Application]:
    """Open the whole server, or one process of it, ready to run; closed at the end of the block.

    Args:
        options: the worker's options; None takes them from the settings.
        worker_process: this process's place among several; None if it is the only one.
        websocket: the bounds of websockets.

    Raises:
        ConfigError: a setting turned out to be wrong when it was used.
        StoreOpenError: the database cannot be opened; the text says why.
    """
    async with AsyncExitStack() as stack:
        schema = await asyncio.to_thread(schema_sql)
        cluster = (
            None
            if worker_process is None
            else await stack.enter_async_context(Cluster(worker_process))
        )
        store = await stack.enter_async_context(TaskStore(None, SystemClock()))
        if cluster is None:
            await store.reopen(settings.database_path, schema)
        provider, file_hosts = await _open_provider(settings, stack, worker_process)
        archive = _archive(settings, file_hosts)
        task_types = dict(await asyncio.to_thread(_task_types, settings))
        endpoint = Endpoint(
            check_origin=check_origin_of(settings),
            host_setting="public_url",
            secret_key_base=None if worker_process is None else worker_process.secret_key_base,
        )
        feed = TaskFeed(store, endpoint) if cluster is None else cluster.feed(store, endpoint)
        presence = None
        if settings.show_watchers:
            presence = Presence(endpoint) if cluster is None else cluster.presence(endpoint)
        worker = Worker(
            store,
            provider,
            feed.announce,
            options=options or _worker_options(settings),
            task_types=task_types,
            archive=archive,
        )

        maintenance = Maintenance(settings, store, archive)
        background = BackgroundReport()
        background.watch(lambda: (worker.dispatcher, maintenance.background))

        async def work() -> None:
            """Start what runs in one process only: the one that owns the database."""
            await archive.open()
            stack.push_async_callback(archive.close)
            maintenance.start()
            stack.push_async_callback(maintenance.stop)
            await worker.start()
            stack.push_async_callback(worker.stop)

        app = web.Application(middlewares=[guarding(settings)])
        app[CONNECTIONS] = connections_for(
            settings.max_connections,
            concurrency=settings.concurrency,
            processes=1 if worker_process is None else worker_process.size,
            per_address=settings.max_connections_per_address,
        )
        app[BACKGROUND] = background
        app[RELOADABLE_SETTINGS] = ReloadableSettings(
            task_types, _task_types, worker, archive, maintenance
        )
        app.on_response_prepare.append(_add_server_header)
        if cluster is None:
            await work()
        else:

            async def take_over() -> None:
                await store.reopen(settings.database_path, schema)
                await work()

            background.watch(lambda: cluster.background)
            await cluster.start(app, worker, take_over, lambda: background.is_healthy)
            stack.push_async_callback(cluster.stop)
        add_task_routes(app, store, worker, task_types=task_types, announce=feed.announce)
        add_file_routes(app, archive)
        _add_webhooks(app, settings, worker, provider)
        _add_status_routes(app, cluster, worker, store, worker_process)
        handler = user_socket(feed, feed if isinstance(feed, SharedFeed) else worker, presence)
        endpoint.socket(
            "/socket", handler, websocket=websocket, longpoll=LONG_POLL, auth_token=True
        )
        mount(app, endpoint, peers=None if cluster is None else cluster.peers)
        yield app


async def _open_provider(
    settings: Settings, stack: AsyncExitStack, worker_process: WorkerProcess | None
) -> tuple[ReplicateProvider, tuple[str, ...]]:
    """The provider, and the hosts of its files: Replicate, or without a token the emulator."""
    hosts: tuple[str, ...] = ()
    if settings.replicate_api_token is not None and settings.has_token:
        token = settings.replicate_api_token.get_secret_value()
        base_url = settings.replicate_base_url
    elif worker_process is not None and worker_process.emulator_url is not None:
        token, base_url, hosts = (
            _EMULATOR_TOKEN,
            worker_process.emulator_url,
            (_origin(worker_process.emulator_url),),
        )
    else:
        emulator = await stack.enter_async_context(
            Emulator(
                EmulatorSettings(speed=settings.emulator_speed, state_file=settings.emulator_path),
                # Its clients are this server's tasks, and browsers that show their pictures.
                max_connections=settings.concurrency + 16,
            )
        )
        token, base_url, hosts = _EMULATOR_TOKEN, emulator.base_url, (emulator.origin,)
    provider = ReplicateProvider(
        token=token,
        base_url=base_url,
        deadline_s=settings.deadline_s,
        webhook_url=_webhook_url(settings),
    )
    stack.push_async_callback(provider.close)
    return provider, hosts


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _archive(settings: Settings, hosts: tuple[str, ...]) -> Archive:
    """The archived files: every process reads them, the one that opens the archive writes."""
    return Archive(
        settings.files_path,
        allowed_hosts=(*REPLICATE_HOSTS, *settings.file_hosts, *hosts),
        max_file_bytes=settings.max_file_bytes,
        max_total_bytes=settings.archive_max_bytes,
    )


def _task_types(settings: Settings) -> Mapping[str, TaskType]:
    """The packaged task types and the operator's, with the default model of the settings."""
    task_types = dict(packaged_task_types())
    if settings.task_types_file is not None:
        task_types |= load_task_types(settings.task_types_file)
    try:
        return with_default_model(
            task_types, "image", settings.default_model, settings.fallback_models
        )
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error


def check_settings(settings: Settings) -> None:
    """Check the settings that are otherwise checked on use: task types, origins, hosts. Blocking.

    Raises:
        SettingsError: a line for each that cannot work.
    """
    attempts: tuple[Callable[[], object], ...] = (
        lambda: _task_types(settings),
        lambda: _archive(settings, ()),
        lambda: parse_check_origin(check_origin_of(settings)),
        lambda: check_loop(settings.loop),
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
    public_url = settings.public_url
    return WorkerOptions(
        concurrency=settings.concurrency,
        deadline_s=settings.deadline_s,
        max_repeats=settings.max_repeats,
        files_url=None if public_url is None else f"{public_url.rstrip('/')}/files",
    )


def _webhook_url(settings: Settings) -> str | None:
    """The address for Replicate's webhooks; None if it cannot reach us, or is emulated."""
    public_url = settings.public_url or ""
    if not settings.has_token or not public_url.startswith("https://"):
        return None
    return public_url.rstrip("/") + WEBHOOK_PATH


def schema_sql() -> str:
    """The text of schema.sql: inside the installed package, or next to it in a checkout."""
    packaged = resources.files("phoenix_compat") / "schema.sql"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "schema.sql").read_text(encoding="utf-8")


def _add_webhooks(
    app: web.Application, settings: Settings, worker: Worker, provider: ReplicateProvider
) -> None:
    """Mount the webhook route, if Replicate can reach this server."""
    if _webhook_url(settings) is not None:
        verifier = WebhookVerifier(provider.webhook_secret)
        add_webhook_route(app, worker, provider.tags, verifier)


def _add_status_routes(
    app: web.Application,
    cluster: Cluster | None,
    worker: Worker,
    store: TaskStore,
    worker_process: WorkerProcess | None,
) -> None:
    app.router.add_get("/healthz", partial(_health, cluster))
    app.router.add_get("/readyz", partial(ready, worker, store, worker_process))
    app.router.add_get("/", _index)


async def _add_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "phoenix_compat"


async def _health(cluster: Cluster | None, request: web.Request) -> web.Response:
    body: dict[str, object] = {"status": "ok", "version": __version__}
    body["connections"] = request.app[CONNECTIONS].counts
    if cluster is not None:
        body |= {"node": cluster.peers.node, "bus": cluster.bus_counts}
    return web.json_response(body)


async def _index(_request: web.Request) -> web.Response:
    return web.Response(text=_INDEX.format(version=__version__))
