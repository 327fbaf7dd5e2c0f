"""Makes the application of the task server: its middlewares and bounds, without routes."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.server.http.base_url import BaseUrls
from phoenix_compat.server.http.browsers.cors import CrossOrigin
from phoenix_compat.server.http.browsers.host_and_origin import (
    check_origin_of,
    guarding,
    page_guard,
)
from phoenix_compat.server.http.browsers.open_access import local_only
from phoenix_compat.server.http.browsers.response_headers import add_safe_headers
from phoenix_compat.server.http.checks import checking
from phoenix_compat.server.http.empty_segments import drop_empty_segments
from phoenix_compat.server.http.handshake_gate import HANDSHAKE_GATE, HandshakeGate
from phoenix_compat.server.http.observability.request_id import add_request_id, note_request_id
from phoenix_compat.server.http.rate_limits import RATE_LIMITER, RateLimits
from phoenix_compat.server.process.connection_limit import CONNECTIONS, connections_for
from phoenix_compat.server.process.listening import LISTENING_URL, ListeningUrl
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.transports.aiohttp.gate import FAST_HANDSHAKE, GATE


def make_application(
    settings: Settings, rates: RateLimits, processes: int | None
) -> web.Application:
    """An application with its middlewares and bounds, without routes.

    Args:
        processes: how many processes share the port; None if this is the only one.
    """
    cross_origin = CrossOrigin(check_origin_of(settings))
    base_urls = BaseUrls(settings.public_url, rates.addresses, has_peers=processes is not None)
    pages = page_guard(settings)
    is_local_only = not settings.has_auth and not settings.insecure_no_auth
    guards = [guarding(pages), cross_origin.answer_preflight]
    if is_local_only:
        guards.append(local_only(has_peers=processes is not None))
    app = web.Application(
        middlewares=[checking((note_request_id, *guards, base_urls.note)), rates.middleware]
    )
    drop_empty_segments(app)
    gate = HandshakeGate(pages, rates.addresses, base_urls, is_local_only=is_local_only)
    app[GATE] = gate
    app[HANDSHAKE_GATE] = gate
    app[FAST_HANDSHAKE] = settings.fast_handshake
    app[RATE_LIMITER] = rates.limiter
    app[LISTENING_URL] = ListeningUrl()
    app[CONNECTIONS] = connections_for(
        settings.max_connections,
        concurrency=settings.concurrency,
        processes=processes or 1,
        per_address=settings.max_connections_per_address,
        is_uncounted=rates.is_uncounted,
    )
    app.on_response_prepare.extend((add_request_id, add_safe_headers, cross_origin.add_headers))
    return app
