"""Builds the task server from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Final

from aiohttp import web

from phoenix_compat.background import BackgroundReport
from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.endpoint import Endpoint, LongPollOptions, WebSocketOptions
from phoenix_compat.presence import Presence
from phoenix_compat.server.auth.authenticator import Authenticator
from phoenix_compat.server.auth.keys.api_keys import ApiKeys
from phoenix_compat.server.auth.keys.first_key import complete_first_key
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.keys.revoked_sockets import close_sockets
from phoenix_compat.server.auth.setup import open_authenticator
from phoenix_compat.server.backends.own_sockets import add_own_sockets
from phoenix_compat.server.backends.publish import PUBLISH
from phoenix_compat.server.backends.routes import add_backend_routes
from phoenix_compat.server.backends.task_stream import STREAMS
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.outputs import TaskOutputs
from phoenix_compat.server.channel.socket_authentication import SocketAuthentication
from phoenix_compat.server.channel.task_channel import user_socket
from phoenix_compat.server.console.mounting import open_console
from phoenix_compat.server.control.access_commands import access_commands
from phoenix_compat.server.control.control_socket import ControlSocket
from phoenix_compat.server.control.key_commands import key_commands
from phoenix_compat.server.control.messages import SOCKET_NAME, Handler
from phoenix_compat.server.control.socket_commands import socket_commands
from phoenix_compat.server.control.webhook_commands import webhook_commands
from phoenix_compat.server.engine import Engine, open_engine, task_types_of, webhook_url
from phoenix_compat.server.http.application import make_application
from phoenix_compat.server.http.authentication import AUTHENTICATOR, authenticating_requests
from phoenix_compat.server.http.browsers.host_and_origin import check_origin_of
from phoenix_compat.server.http.files import add_file_routes
from phoenix_compat.server.http.observability.access_log import AccessLog
from phoenix_compat.server.http.observability.metrics import add_metrics_routes
from phoenix_compat.server.http.openapi.page import add_docs_routes
from phoenix_compat.server.http.openapi.serving import add_openapi_routes
from phoenix_compat.server.http.rate_limits import RATE_LIMITER, RateLimits
from phoenix_compat.server.http.readiness import ready
from phoenix_compat.server.http.tasks.api import MAX_BODY_BYTES, add_task_routes
from phoenix_compat.server.http.tasks.task_type_api import TASK_TYPES_PATH, TaskTypeApi
from phoenix_compat.server.http.uploads.file_api import FILE_API, add_file_api
from phoenix_compat.server.http.uploads.posted_bodies import FileLimits, PostedBodies
from phoenix_compat.server.http.uploads.spooled_bodies import SpooledBodies
from phoenix_compat.server.http.uploads.task_files import TaskFiles
from phoenix_compat.server.http.webhooks import add_webhook_route
from phoenix_compat.server.inspection.inspection import INSPECTION, Inspection
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.inspection.processes import OneProcess
from phoenix_compat.server.metrics.metrics import Sources, start_metrics
from phoenix_compat.server.metrics.request_measures import RequestMeasures
from phoenix_compat.server.multiprocess.cluster import Cluster
from phoenix_compat.server.multiprocess.shared_feed import SharedFeed
from phoenix_compat.server.process.connection_limit import CONNECTIONS
from phoenix_compat.server.process.listening import BACKGROUND, LISTENING_URL
from phoenix_compat.server.process.reload import RELOADABLE_SETTINGS, ReloadableSettings
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.auth import KEYS
from phoenix_compat.server.tracing.setup import open_tracer
from phoenix_compat.server.tracing.span_families import more_of
from phoenix_compat.socket import SocketHandler
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

OUTPUTS: Final = web.AppKey("outputs", TaskOutputs)


@asynccontextmanager
async def open_app(
    settings: Settings,
    options: WorkerOptions | None = None,
    worker_process: WorkerProcess | None = None,
    websocket: WebSocketOptions = WEBSOCKET,
    tools: OperatorTools | None = None,
) -> AsyncIterator[web.Application]:
    """Open the whole server, or one process of it, ready to run; closed at the end of the block.

    Args:
        options: the worker's options; None takes them from the settings.
        worker_process: this process's place among several; None if it is the only one.
        websocket: the bounds of websockets.
        tools: what the console can do through commands; None for nothing.

    Raises:
        ConfigError: a setting turned out to be wrong when it was used.
        StoreOpenError: the database cannot be opened; the text says why.
    """
    async with AsyncExitStack() as stack:
        cluster = (
            None
            if worker_process is None
            else await stack.enter_async_context(Cluster(worker_process))
        )
        engine = await open_engine(settings, stack, worker_process)
        endpoint = _endpoint(settings, worker_process)
        await _add_own_sockets(settings, endpoint, cluster, websocket)
        processes = OneProcess() if cluster is None else cluster.processes
        keys = KeyStore(engine.store, partial(close_sockets, endpoint))
        feed = (
            TaskFeed(engine.store, endpoint)
            if cluster is None
            else cluster.feed(engine.store, endpoint, engine.task_types)
        )
        worker = engine.worker(feed.announce, feed.outputs, options, await open_tracer(stack))
        inspection = Inspection(
            endpoint, processes, worker=worker, store=engine.store, keys=keys, tools=tools
        )
        authenticator = await stack.enter_async_context(
            open_authenticator(settings, _key_lookup(keys, endpoint, cluster))
        )
        background = BackgroundReport()
        background.watch(
            lambda: (
                worker.dispatcher,
                *engine.background,
                keys.uses.background,
                *authenticator.background,
            )
        )
        size = None if worker_process is None else worker_process.size
        rates = RateLimits(settings, authenticator.places, size)
        app = make_application(settings, rates, size)
        app[BACKGROUND] = background
        access = AccessLog(settings, has_peers=cluster is not None)
        bodies = _bodies(settings, engine)
        _keep(app, inspection, authenticator, feed.outputs)
        app[RELOADABLE_SETTINGS] = ReloadableSettings(
            engine.task_types,
            task_types_of,
            worker,
            archive=engine.archive,
            more=(engine.maintenance.change, rates.change, engine.budget.change, access.change),
        )

        metrics = start_metrics(
            app,
            stack,
            Sources(
                endpoint=endpoint,
                connections=app[CONNECTIONS],
                background=background,
                requests=RequestMeasures(access.answered, has_peers=cluster is not None),
                worker=worker,
                store=engine.store,
                archive=engine.archive,
                rates=lambda: rates.limiter.refused_counts,
                bus=None if cluster is None else lambda: cluster.bus_counts,
                more=more_of(worker.tracer),
            ),
            processes,
        )

        async def work() -> None:
            await _open_keys(settings, stack, keys, feed, _commands(inspection, keys, app, engine))
            await engine.start(worker, stack)

        if cluster is None:
            await work()
        else:

            async def take_over() -> None:
                await engine.open_store()
                await work()

            background.watch(lambda: cluster.background)
            await cluster.start(app, worker, take_over, lambda: background.is_healthy, bodies[1])
            stack.push_async_callback(cluster.stop)
        add_task_routes(
            app,
            engine.store,
            worker,
            task_types=engine.task_types,
            bodies=bodies[0],
            files=TaskFiles(engine.archive.inputs, engine.uploads, settings.max_upload_bytes),
            announce=feed.announce,
            visibility=settings.task_visibility,
            limiter=rates.limiter,
            policy=engine.budget.policy,
            authenticate=authenticating_requests(authenticator),
        )
        app.router.add_get(
            TASK_TYPES_PATH, TaskTypeApi(engine.task_types, engine.budget.policy).list
        )
        add_file_routes(app, engine.archive)
        add_file_api(app, engine.archive.inputs, engine.uploads, bodies, settings.max_upload_bytes)
        add_backend_routes(app, settings, endpoint, feed, engine.webhooks)
        _add_webhooks(app, settings, metrics.sources, engine.provider)
        _add_status_routes(app, cluster, worker, engine.store, worker_process)
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
            presence=_presence(settings, endpoint, cluster),
            visibility=settings.task_visibility,
            authentication=authentication,
            listen_topics=settings.listen_topics,
        )
        _add_socket(endpoint, handler, authentication.header_names, websocket)
        mount(app, endpoint, peers=None if cluster is None else cluster.peers)
        async with open_console(
            app,
            settings,
            endpoint=endpoint,
            engine=engine,
            worker=worker,
            feed=feed,
            processes=processes,
            cluster=cluster,
            authenticator=authenticator,
            limiter=rates.limiter,
        ):
            yield app


def _keep(
    app: web.Application,
    inspection: Inspection,
    authenticator: Authenticator,
    outputs: TaskOutputs,
) -> None:
    """Store parts that handlers find in their application."""
    app[INSPECTION] = inspection
    app[AUTHENTICATOR] = authenticator
    app[OUTPUTS] = outputs


def _endpoint(settings: Settings, worker_process: WorkerProcess | None) -> Endpoint:
    return Endpoint(
        check_origin=check_origin_of(settings),
        host_setting="public_url",
        secret_key_base=None if worker_process is None else worker_process.secret_key_base,
        filter_parameters=settings.hidden_parameters,
    )


def _bodies(settings: Settings, engine: Engine) -> tuple[PostedBodies, SpooledBodies]:
    """Receive the bodies of tasks here, or read them for another process."""
    limits = FileLimits(settings.max_inline_body_bytes, settings.max_upload_bytes)
    return (
        PostedBodies(MAX_BODY_BYTES, engine.archive.inputs, limits),
        SpooledBodies(
            MAX_BODY_BYTES,
            limits.max_body_bytes,
            settings.data_dir,
            engine.archive.inputs.check_free_space,
        ),
    )


async def _add_own_sockets(
    settings: Settings, endpoint: Endpoint, cluster: Cluster | None, websocket: WebSocketOptions
) -> None:
    """Add the sockets of the setting `channels_module`, before the processes are connected."""
    if settings.channels_module is None:
        return
    await add_own_sockets(
        endpoint,
        settings.channels_module,
        settings.channels_path,
        websocket=websocket,
        longpoll=LONG_POLL,
    )
    if cluster is not None:
        cluster.share(endpoint.presences)


def _key_lookup(keys: KeyStore, endpoint: Endpoint, cluster: Cluster | None) -> ApiKeys:
    """Where this process looks API keys up."""
    return keys if cluster is None else cluster.keys(keys, endpoint)


def _commands(
    inspection: Inspection, keys: KeyStore, app: web.Application, engine: Engine
) -> Mapping[str, Handler]:
    """The commands of the control socket, other than those about API keys."""
    return {
        **socket_commands(inspection.sockets),
        **access_commands(keys, lambda: app[LISTENING_URL].url),
        **webhook_commands(engine.store, engine.settings, engine.wake_webhooks),
    }


async def _open_keys(
    settings: Settings,
    stack: AsyncExitStack,
    keys: KeyStore,
    feed: TaskFeed,
    commands: Mapping[str, Handler],
) -> None:
    """Open the API keys, and the socket for their commands and others."""
    await keys.start()
    stack.push_async_callback(keys.stop)
    await complete_first_key(keys, settings.data_dir)
    if settings.auth == (KEYS,):
        await keys.require_any()
    commands = {**key_commands(keys, feed.adopt), **commands}
    control = ControlSocket(settings.data_dir / SOCKET_NAME, commands)
    await control.start()
    stack.push_async_callback(control.stop)


def _presence(settings: Settings, endpoint: Endpoint, cluster: Cluster | None) -> Presence | None:
    """Who watches a task, if the clients of a task can see each other."""
    if not settings.show_watchers:
        return None
    return Presence(endpoint) if cluster is None else cluster.presence(endpoint)


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


def _add_webhooks(
    app: web.Application, settings: Settings, sources: Sources, provider: ReplicateProvider
) -> None:
    """Mount the webhook route, if Replicate can reach this server."""
    if webhook_url(settings) is not None:
        verifier = WebhookVerifier(provider.webhook_secret)
        add_webhook_route(app, sources.worker, provider.tags, verifier, sources.webhooks)


def _add_status_routes(
    app: web.Application,
    cluster: Cluster | None,
    worker: Worker,
    store: TaskStore,
    worker_process: WorkerProcess | None,
) -> None:
    add_metrics_routes(app, authenticating_requests(app[AUTHENTICATOR]))
    app.router.add_get("/healthz", partial(_health, cluster))
    app.router.add_get("/readyz", partial(ready, worker, store, worker_process))
    add_openapi_routes(app)
    add_docs_routes(app)


async def _health(cluster: Cluster | None, request: web.Request) -> web.Response:
    body: dict[str, object] = {"status": "ok", "version": __version__}
    body["connections"] = request.app[CONNECTIONS].counts
    body["outputs"] = asdict(request.app[OUTPUTS].counts)
    body["rate_limited"] = request.app[RATE_LIMITER].refused_counts
    body["files"] = request.app[FILE_API].counts
    body["published"] = asdict(request.app[PUBLISH].counts)
    body["streams"] = asdict(request.app[STREAMS].counts)
    if request.app[AUTHENTICATOR].is_on:
        body["auth"] = asdict(request.app[AUTHENTICATOR].counts)
    if cluster is not None:
        body |= {"node": cluster.peers.node, "bus": cluster.bus_counts}
    return web.json_response(body)
