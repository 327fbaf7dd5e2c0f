"""The parts of the task server in one process, and the routes and sockets that serve them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final

from aiohttp import web

from phoenix_compat.endpoint import Endpoint, LongPollOptions, WebSocketOptions
from phoenix_compat.presence import Presence
from phoenix_compat.server.auth.authenticator import Authenticator
from phoenix_compat.server.backends.publish import PUBLISH
from phoenix_compat.server.backends.routes import add_backend_routes
from phoenix_compat.server.backends.task_stream import STREAMS
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.outputs import TaskOutputs
from phoenix_compat.server.channel.socket_authentication import SocketAuthentication
from phoenix_compat.server.channel.task_channel import user_socket
from phoenix_compat.server.engine import Engine, webhook_url
from phoenix_compat.server.http.authentication import AUTHENTICATOR, authenticating_requests
from phoenix_compat.server.http.files import add_file_routes
from phoenix_compat.server.http.observability.metrics import add_metrics_routes
from phoenix_compat.server.http.openapi.page import add_docs_routes
from phoenix_compat.server.http.openapi.serving import add_openapi_routes
from phoenix_compat.server.http.rate_limits import RATE_LIMITER, RateLimits
from phoenix_compat.server.http.readiness import ready
from phoenix_compat.server.http.tasks.api import MAX_BODY_BYTES, add_task_routes
from phoenix_compat.server.http.tasks.task_type_api import TASK_TYPES_PATH, TaskTypeApi
from phoenix_compat.server.http.tasks.worker_client import WorkerClient
from phoenix_compat.server.http.uploads.file_api import FILE_API, add_file_api
from phoenix_compat.server.http.uploads.posted_bodies import FileLimits, PostedBodies
from phoenix_compat.server.http.uploads.spooled_bodies import SpooledBodies
from phoenix_compat.server.http.uploads.task_files import TaskFiles
from phoenix_compat.server.http.webhooks import add_webhook_route
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.server.process.connection_limit import CONNECTIONS
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.topology import Topology
from phoenix_compat.tasks.provider.webhooks import WebhookVerifier
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.version import __version__

LONG_POLL: Final = LongPollOptions(max_body_bytes=MAX_BODY_BYTES)

OUTPUTS: Final = web.AppKey("outputs", TaskOutputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParts:
    """What one process of the server consists of.

    Attributes:
        worker_client: what the API uses of the worker.
        presence: who watches a task, if the clients of a task can see each other.
        websocket: the bounds of websockets.
        bodies: receive the bodies of tasks here, or read them for another process.
    """

    settings: Settings
    topology: Topology
    engine: Engine
    endpoint: Endpoint
    worker: Worker
    worker_client: WorkerClient
    presence: Presence | None
    feed: TaskFeed
    authenticator: Authenticator
    rates: RateLimits
    websocket: WebSocketOptions
    bodies: tuple[PostedBodies, SpooledBodies]


def bodies_for(settings: Settings, engine: Engine) -> tuple[PostedBodies, SpooledBodies]:
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


def serve_parts(app: web.Application, parts: ServerParts) -> None:
    """Add the routes and the socket of the server to an application that has not started."""
    _add_task_routes(app, parts)
    _add_webhooks(app, parts)
    _add_status_routes(app, parts)
    _add_socket(parts)
    parts.topology.mount(app, parts.endpoint)


def _add_task_routes(app: web.Application, parts: ServerParts) -> None:
    settings, engine, feed = parts.settings, parts.engine, parts.feed
    add_task_routes(
        app,
        engine.store,
        parts.worker_client,
        task_types=engine.task_types,
        bodies=parts.bodies[0],
        files=TaskFiles(engine.archive.inputs, engine.uploads, settings.max_upload_bytes),
        announce=feed.announce,
        visibility=settings.task_visibility,
        limiter=parts.rates.limiter,
        policy=engine.budget.policy,
        authenticate=authenticating_requests(parts.authenticator),
    )
    app.router.add_get(TASK_TYPES_PATH, TaskTypeApi(engine.task_types, engine.budget.policy).list)
    add_file_routes(app, engine.archive)
    add_file_api(
        app, engine.archive.inputs, engine.uploads, parts.bodies, settings.max_upload_bytes
    )
    add_backend_routes(app, settings, parts.endpoint, feed, engine.webhooks)


def _add_webhooks(app: web.Application, parts: ServerParts) -> None:
    """Mount the webhook route, if Replicate can reach this server."""
    if webhook_url(parts.settings) is None:
        return
    provider = parts.engine.provider
    verifier = WebhookVerifier(provider.webhook_secret, parts.engine.store.clock)
    counts = app[METRICS].sources.webhooks
    add_webhook_route(app, parts.worker_client, provider.tags, verifier, counts)


def _add_status_routes(app: web.Application, parts: ServerParts) -> None:
    add_metrics_routes(app, authenticating_requests(app[AUTHENTICATOR]))
    app.router.add_get("/healthz", partial(_health, parts.topology))
    topology = parts.topology
    app.router.add_get(
        "/readyz",
        partial(
            ready, parts.worker, parts.engine.store, topology.node, lambda: topology.bus_problem
        ),
    )
    add_openapi_routes(app)
    add_docs_routes(app)


async def _health(topology: Topology, request: web.Request) -> web.Response:
    body: dict[str, object] = {"status": "ok", "version": __version__}
    body["connections"] = request.app[CONNECTIONS].counts
    body["outputs"] = asdict(request.app[OUTPUTS].counts)
    body["rate_limited"] = request.app[RATE_LIMITER].refused_counts
    body["files"] = request.app[FILE_API].counts
    body["published"] = asdict(request.app[PUBLISH].counts)
    body["streams"] = asdict(request.app[STREAMS].counts)
    if request.app[AUTHENTICATOR].is_on:
        body["auth"] = asdict(request.app[AUTHENTICATOR].counts)
    if topology.bus_counts is not None:
        body |= {"node": topology.node, "bus": topology.bus_counts}
    return web.json_response(body)


def _add_socket(parts: ServerParts) -> None:
    """Serve `/socket` over both transports."""
    settings = parts.settings
    authentication = SocketAuthentication(
        parts.authenticator,
        parts.rates.limiter,
        at_join=settings.auth_at_join,
        closes_expired=settings.close_expired_sockets,
    )
    handler = user_socket(
        parts.feed,
        parts.topology.canceller(parts.worker_client),
        parts.rates.limiter,
        presence=parts.presence,
        visibility=settings.task_visibility,
        authentication=authentication,
        listen_topics=settings.listen_topics,
    )
    headers = authentication.header_names
    parts.endpoint.socket(
        "/socket",
        handler,
        websocket=replace(parts.websocket, headers=headers),
        longpoll=replace(LONG_POLL, headers=headers),
        auth_token=True,
    )
