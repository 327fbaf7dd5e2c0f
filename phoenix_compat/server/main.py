"""Builds the task server from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web

from phoenix_compat.background import BackgroundReport
from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.endpoint import Endpoint, WebSocketOptions
from phoenix_compat.server.auth.keys.first_key import complete_first_key
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.keys.revoked_sockets import close_sockets
from phoenix_compat.server.auth.setup import open_authenticator
from phoenix_compat.server.backends.own_sockets import add_own_sockets
from phoenix_compat.server.console.mounting import open_console
from phoenix_compat.server.control.access_commands import access_commands
from phoenix_compat.server.control.control_socket import ControlSocket
from phoenix_compat.server.control.key_commands import key_commands
from phoenix_compat.server.control.messages import SOCKET_NAME, Handler
from phoenix_compat.server.control.socket_commands import socket_commands
from phoenix_compat.server.control.webhook_commands import webhook_commands
from phoenix_compat.server.engine import Engine, open_engine, task_types_of
from phoenix_compat.server.http.application import make_application
from phoenix_compat.server.http.authentication import AUTHENTICATOR
from phoenix_compat.server.http.browsers.host_and_origin import check_origin_of
from phoenix_compat.server.http.handshake_gate import HANDSHAKE_GATE
from phoenix_compat.server.http.observability.access_log import AccessLog
from phoenix_compat.server.http.rate_limits import RateLimits
from phoenix_compat.server.inspection.inspection import INSPECTION, Inspection
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.metrics.metrics import Sources, start_metrics
from phoenix_compat.server.metrics.request_measures import RequestMeasures
from phoenix_compat.server.parts import LONG_POLL, OUTPUTS, ServerParts, bodies_for, serve_parts
from phoenix_compat.server.process.config.reload import RELOADABLE_SETTINGS, ReloadableSettings
from phoenix_compat.server.process.connection_limit import CONNECTIONS
from phoenix_compat.server.process.listening import BACKGROUND, LISTENING_URL
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.auth import KEYS
from phoenix_compat.server.topology import Alone, StartedParts, Topology
from phoenix_compat.server.tracing.setup import open_tracer
from phoenix_compat.server.tracing.span_families import more_of
from phoenix_compat.tasks.worker.options import WorkerOptions

_MAX_MESSAGE_BYTES: Final = 64 * 1024
_MAX_FRAME_HEADER_BYTES: Final = 14
WEBSOCKET: Final = WebSocketOptions(
    max_frame_bytes=_MAX_MESSAGE_BYTES + _MAX_FRAME_HEADER_BYTES,
    max_message_bytes=_MAX_MESSAGE_BYTES,
    frame_timeout_s=30.0,
)
"""Messages of the task channel are short; Phoenix's own limit is 8 MB."""


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
        topology = await stack.enter_async_context(_topology(settings, worker_process))
        engine = await open_engine(
            settings, stack, worker_process, opens_store=topology.opens_store
        )
        await topology.prepare(engine.store)
        endpoint = _endpoint(settings, topology)
        await _add_own_sockets(settings, endpoint, topology, websocket)
        keys = KeyStore(engine.store, partial(close_sockets, endpoint), clock=engine.store.clock)
        feed = topology.feed(engine.store, endpoint, engine.task_types)
        tracer = await open_tracer(stack)
        worker = engine.worker(feed.announce, feed.outputs, options, tracer, topology.leases)
        inspection = Inspection(
            endpoint, topology.processes, worker=worker, store=engine.store, keys=keys, tools=tools
        )
        authenticator = await stack.enter_async_context(
            open_authenticator(settings, topology.keys(keys, endpoint))
        )
        background = BackgroundReport()
        background.watch(
            lambda: (
                *worker.background,
                *engine.background,
                keys.uses.background,
                *authenticator.background,
                *topology.background,
            )
        )
        rates = RateLimits(settings, authenticator.places, topology.size)
        app = make_application(settings, rates, topology.size)
        access = AccessLog(settings, has_peers=topology.size is not None)
        app[BACKGROUND] = background
        app[INSPECTION] = inspection
        app[AUTHENTICATOR] = authenticator
        app[OUTPUTS] = feed.outputs
        app[RELOADABLE_SETTINGS] = ReloadableSettings(
            engine.task_types,
            task_types_of,
            worker,
            archive=engine.archive,
            more=(engine.maintenance.change, rates.change, engine.budget.change, access.change),
        )
        requests = RequestMeasures(access.answered, has_peers=topology.size is not None)
        app[HANDSHAKE_GATE].observe(access.websocket_opened)
        app[HANDSHAKE_GATE].observe(
            lambda _head, route, _address, took_s: requests.websocket_opened(route, took_s)
        )
        start_metrics(
            app,
            stack,
            Sources(
                endpoint=endpoint,
                connections=app[CONNECTIONS],
                background=background,
                requests=requests,
                worker=worker,
                store=engine.store,
                archive=engine.archive,
                rates=lambda: rates.limiter.refused_counts,
                bus=lambda: topology.bus_counts,
                more=[*more_of(worker.tracer), topology.families],
            ),
            topology.processes,
            is_alone=topology.size is None,
        )
        parts = ServerParts(
            settings=settings,
            topology=topology,
            engine=engine,
            endpoint=endpoint,
            worker=worker,
            worker_client=topology.worker_client(worker),
            presence=topology.presence(endpoint) if settings.show_watchers else None,
            feed=feed,
            authenticator=authenticator,
            rates=rates,
            websocket=websocket,
            bodies=bodies_for(settings, engine),
        )

        async def work() -> None:
            await _open_keys(settings, stack, keys)
            if topology.takes_commands:
                commands = {
                    **key_commands(keys, feed.adopt),
                    **_commands(inspection, keys, app, engine, topology),
                }
                control = ControlSocket(settings.data_dir / SOCKET_NAME, commands)
                await control.start()
                stack.push_async_callback(control.stop)
            await engine.start(worker, stack, topology.leases)

        started = StartedParts(
            app=app,
            worker=worker,
            open_store=engine.open_store,
            work=work,
            is_well=lambda: background.is_healthy,
            bodies=parts.bodies[1],
        )
        await topology.start(started, stack)
        serve_parts(app, parts)
        async with open_console(
            app,
            settings,
            endpoint=endpoint,
            engine=engine,
            worker=worker,
            feed=feed,
            topology=topology,
            authenticator=authenticator,
            limiter=rates.limiter,
        ):
            yield app


def _topology(settings: Settings, worker_process: WorkerProcess | None) -> Topology:
    """How this process works together with others."""
    if settings.is_shared:
        from phoenix_compat.server.nodes.buses import make_bus  # noqa: PLC0415 - rarely needed
        from phoenix_compat.server.nodes.node import NodeTopology  # noqa: PLC0415 - rarely needed

        return NodeTopology(make_bus(settings, worker_process), settings, worker_process)
    if worker_process is None:
        return Alone()
    from phoenix_compat.server.multiprocess.cluster import Cluster  # noqa: PLC0415 - of --workers

    return Cluster(worker_process)


def _endpoint(settings: Settings, topology: Topology) -> Endpoint:
    return Endpoint(
        check_origin=check_origin_of(settings),
        host_setting="public_url",
        secret_key_base=topology.secret_key_base,
        filter_parameters=settings.hidden_parameters,
    )


async def _add_own_sockets(
    settings: Settings, endpoint: Endpoint, topology: Topology, websocket: WebSocketOptions
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
    topology.share(endpoint.presences)


def _commands(
    inspection: Inspection,
    keys: KeyStore,
    app: web.Application,
    engine: Engine,
    topology: Topology,
) -> Mapping[str, Handler]:
    """The commands of the control socket, other than those about API keys."""
    return {
        **socket_commands(inspection.sockets),
        **access_commands(keys, lambda: app[LISTENING_URL].url, topology.share_lent),
        **webhook_commands(engine.store, engine.settings, engine.wake_webhooks),
    }


async def _open_keys(settings: Settings, stack: AsyncExitStack, keys: KeyStore) -> None:
    """Open the API keys, and check that there is one if it is needed."""
    await keys.start()
    stack.push_async_callback(keys.stop)
    await complete_first_key(keys, settings.data_dir)
    if settings.auth == (KEYS,):
        await keys.require_any()
