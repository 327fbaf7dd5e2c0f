"""Builds the task server from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from phoenix_compat.background import BackgroundReport
from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.emulator import Emulator
from phoenix_compat.endpoint import Endpoint, LongPollOptions, WebSocketOptions
from phoenix_compat.errors import ConfigError
from phoenix_compat.presence import Presence
from phoenix_compat.protocol.origin import parse_check_origin
from phoenix_compat.server.auth.api_keys import ApiKeys
from phoenix_compat.server.auth.first_key import complete_first_key
from phoenix_compat.server.auth.key_store import KeyStore
from phoenix_compat.server.auth.revoked_sockets import close_sockets
from phoenix_compat.server.auth.setup import check_auth, open_authenticator
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.socket_authentication import SocketAuthentication
from phoenix_compat.server.channel.task_channel import user_socket
from phoenix_compat.server.control.control_socket import ControlSocket
from phoenix_compat.server.control.key_commands import key_commands
from phoenix_compat.server.control.messages import SOCKET_NAME
from phoenix_compat.server.http.api import MAX_BODY_BYTES, add_task_routes
from phoenix_compat.server.http.authentication import AUTHENTICATOR, authenticating_requests
from phoenix_compat.server.http.cors import CrossOrigin
from phoenix_compat.server.http.files import add_file_routes
from phoenix_compat.server.http.host_and_origin import check_origin_of, guarding
from phoenix_compat.server.http.open_access import local_only
from phoenix_compat.server.http.rate_limits import RATE_LIMITER, RateLimits
from phoenix_compat.server.http.readiness import ready
from phoenix_compat.server.http.response_headers import add_safe_headers
from phoenix_compat.server.http.webhooks import WEBHOOK_PATH, add_webhook_route
from phoenix_compat.server.multiprocess.cluster import Cluster
from phoenix_compat.server.multiprocess.shared_feed import SharedFeed
from phoenix_compat.server.process.connection_limit import CONNECTIONS, connections_for
from phoenix_compat.server.process.listening import BACKGROUND, check_loop
from phoenix_compat.server.process.maintenance import Maintenance
from phoenix_compat.server.process.own_emulator import own_emulator_settings
from phoenix_compat.server.process.reload import RELOADABLE_SETTINGS, Budget, ReloadableSettings
from phoenix_compat.server.process.setting_errors import SettingsError
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.auth import KEYS
from phoenix_compat.socket import SocketHandler
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.download_hosts import REPLICATE_HOSTS
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task_types import TaskType, with_default_model
from phoenix_compat.tasks.model.task_types_file import load_task_types, packaged_task_types
from phoenix_compat.tasks.provider.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.webhooks import WebhookVerifier
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.transports.aiohttp import mount
from phoenix_compat.version import __version__

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
async def open_app(  # noqa: PLR0915 - being taken apart
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
        budget = _budget(store, task_types, settings)
        endpoint = Endpoint(
            check_origin=check_origin_of(settings),
            host_setting="public_url",
            secret_key_base=None if worker_process is None else worker_process.secret_key_base,
            filter_parameters=settings.filter_parameters,
        )
        feed = TaskFeed(store, endpoint) if cluster is None else cluster.feed(store, endpoint)
        keys = KeyStore(store, partial(close_sockets, endpoint))
        presence = _presence(settings, endpoint, cluster)
        worker = Worker(
            store,
            provider,
            feed.announce,
            options=options or _worker_options(settings),
            task_types=task_types,
            archive=archive,
            policy=budget.policy,
        )

        authenticator = await stack.enter_async_context(
            open_authenticator(settings, _key_lookup(keys, endpoint, cluster))
        )
        maintenance = Maintenance(settings, store, archive)
        background = BackgroundReport()
        background.watch(
            lambda: (
                worker.dispatcher,
                maintenance.background,
                keys.uses.background,
                *authenticator.background,
            )
        )

        async def work() -> None:
            """Start what runs in one process only: the one that owns the database."""
            await _open_keys(settings, stack, keys, store)
            await archive.open()
            stack.push_async_callback(archive.close)
            maintenance.start()
            stack.push_async_callback(maintenance.stop)
            await worker.start()
            stack.push_async_callback(worker.stop)

        rates = RateLimits(
            settings,
            authenticator.places,
            None if worker_process is None else worker_process.size,
        )
        cross_origin = CrossOrigin(check_origin_of(settings))
        app = web.Application(
            middlewares=[
                *_guards(settings, cross_origin, has_peers=worker_process is not None),
                rates.middleware,
            ]
        )
        app[RATE_LIMITER] = rates.limiter
        app[CONNECTIONS] = connections_for(
            settings.max_connections,
            concurrency=settings.concurrency,
            processes=1 if worker_process is None else worker_process.size,
            per_address=settings.max_connections_per_address,
        )
        app[BACKGROUND] = background
        app[AUTHENTICATOR] = authenticator
        app[RELOADABLE_SETTINGS] = ReloadableSettings(
            task_types,
            _task_types,
            worker,
            archive=archive,
            more=(maintenance.change, rates.change, budget.change),
        )
        app.on_response_prepare.extend((add_safe_headers, cross_origin.add_headers))
        if cluster is None:
            await work()
        else:

            async def take_over() -> None:
                await store.reopen(settings.database_path, schema)
                await work()

            background.watch(lambda: cluster.background)
            await cluster.start(app, worker, take_over, lambda: background.is_healthy)
            stack.push_async_callback(cluster.stop)
        add_task_routes(
            app,
            store,
            worker,
            task_types=task_types,
            announce=feed.announce,
            visibility=settings.task_visibility,
            limiter=rates.limiter,
            policy=budget.policy,
            authenticate=authenticating_requests(authenticator),
        )
        add_file_routes(app, archive)
        _add_webhooks(app, settings, worker, provider)
        _add_status_routes(app, cluster, worker, store, worker_process)
        authentication = SocketAuthentication(
            authenticator,
            rates.limiter,
            at_join=settings.auth_at_join,
            closes_expired=settings.close_expired_sockets,
        )
        handler = user_socket(
            feed,
            feed if isinstance(feed, SharedFeed) else worker,
            rates.limiter,
            presence=presence,
            visibility=settings.task_visibility,
            authentication=authentication,
        )
        _add_socket(endpoint, handler, authentication.header_names, websocket)
        mount(app, endpoint, peers=None if cluster is None else cluster.peers)
        yield app


def _key_lookup(keys: KeyStore, endpoint: Endpoint, cluster: Cluster | None) -> ApiKeys:
    """Where this process looks API keys up."""
    return keys if cluster is None else cluster.keys(keys, endpoint)


async def _open_keys(
    settings: Settings, stack: AsyncExitStack, keys: KeyStore, store: TaskStore
) -> None:
    """Open the API keys, with the socket for commands about them."""
    await keys.start()
    stack.push_async_callback(keys.stop)
    await complete_first_key(keys, settings.data_dir)
    if settings.auth == (KEYS,):
        await keys.require_any()
    control = ControlSocket(settings.data_dir / SOCKET_NAME, key_commands(keys, store))
    await control.start()
    stack.push_async_callback(control.stop)


def _presence(settings: Settings, endpoint: Endpoint, cluster: Cluster | None) -> Presence | None:
    """Who watches a task, if the clients of a task can see each other."""
    if not settings.show_watchers:
        return None
    return Presence(endpoint) if cluster is None else cluster.presence(endpoint)


def _guards(settings: Settings, cross_origin: CrossOrigin, *, has_peers: bool) -> list[Middleware]:
    """The middlewares in front of everything: those against web pages and open access."""
    guards = [guarding(settings), cross_origin.answering_preflights()]
    if not settings.has_auth and not settings.insecure_no_auth:
        guards.append(local_only(has_peers=has_peers))
    return guards


def _add_socket(
    endpoint: Endpoint,
    handler: type[SocketHandler],
    headers: tuple[str, ...],
    websocket: WebSocketOptions,
) -> None:
    """Serve `/socket` over both transports.

    Args:
        headers: the request headers that the handler needs.
    """
    endpoint.socket(
        "/socket",
        handler,
        websocket=replace(websocket, headers=headers),
        longpoll=replace(LONG_POLL, headers=headers),
        auth_token=True,
    )


async def _open_provider(
    settings: Settings, stack: AsyncExitStack, worker_process: WorkerProcess | None
) -> tuple[ReplicateProvider, tuple[str, ...]]:
    """The provider, and the hosts of its files: Replicate, or without a token the emulator."""
    hosts: tuple[str, ...] = ()
    if settings.replicate_api_token is not None and settings.has_token:
        token = settings.replicate_api_token.get_secret_value()
        base_url = settings.replicate_base_url
    elif worker_process is not None and worker_process.emulator_url is not None:
        token, base_url = worker_process.emulator_token or "", worker_process.emulator_url
        hosts = (_origin(base_url),)
    else:
        emulator_settings = own_emulator_settings(settings)
        emulator = await stack.enter_async_context(
            Emulator(
                emulator_settings,
                # Its clients are this server's tasks, and browsers that show their pictures.
                max_connections=settings.concurrency + 16,
            )
        )
        token, base_url = emulator_settings.api_token or "", emulator.base_url
        hosts = (emulator.origin,)
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


def _budget(store: TaskStore, task_types: Mapping[str, TaskType], settings: Settings) -> Budget:
    budget = Budget(store, ModelPolicy(task_types), _policy_rules)
    budget.change(settings)
    return budget


def _policy_rules(settings: Settings) -> PolicyRules:
    return settings.policy_rules()


def _check_allowed_models(settings: Settings) -> None:
    """Check that the default model may run. Raises ConfigError."""
    if not ModelPolicy({}, _policy_rules(settings)).allows(settings.default_model):
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
        lambda: _task_types(settings),
        lambda: _check_allowed_models(settings),
        lambda: _archive(settings, ()),
        lambda: parse_check_origin(check_origin_of(settings)),
        lambda: check_loop(settings.loop),
        lambda: check_auth(settings),
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


async def _health(cluster: Cluster | None, request: web.Request) -> web.Response:
    body: dict[str, object] = {"status": "ok", "version": __version__}
    body["connections"] = request.app[CONNECTIONS].counts
    body["rate_limited"] = request.app[RATE_LIMITER].refused_counts
    if request.app[AUTHENTICATOR].is_on:
        body["auth"] = asdict(request.app[AUTHENTICATOR].counts)
    if cluster is not None:
        body |= {"node": cluster.peers.node, "bus": cluster.bus_counts}
    return web.json_response(body)


async def _index(_request: web.Request) -> web.Response:
    return web.Response(text=_INDEX.format(version=__version__))
