"""Decides whether a request becomes a websocket, whatever web framework has received it.

The checks follow Phoenix's order: method, query, origin, subprotocols, `connect`, and only then
whether the request is an upgrade at all.

Source: phoenix 1.8.12, lib/phoenix/transports/websocket.ex, call/2.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from phoenix_compat.bounded import brief
from phoenix_compat.endpoint import Endpoint, MountedSocket, WebSocketOptions
from phoenix_compat.protocol.handshake import (
    has_several_keys,
    offered_subprotocols,
    select_subprotocol,
    take_auth_token,
    upgrade_error,
)
from phoenix_compat.protocol.query import BadQueryError, Params
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.result import Result
from phoenix_compat.socket import Socket
from phoenix_compat.transports.admission import Admitted, admit, is_from_allowed_origin
from phoenix_compat.transports.request import HttpRequest, full_connect_info, read_params
from phoenix_compat.transports.response import HttpResponse, refusal

log = logging.getLogger(__name__)


class Accepted(NamedTuple):
    """A client whose request becomes a websocket."""

    serializer: Serializer
    socket: Socket
    subprotocol: str | None


class Hub(Protocol):
    """What the handshake needs of the websocket hub of a mounted socket."""

    endpoint: Endpoint
    options: WebSocketOptions
    mounted_socket: MountedSocket

    async def respond(self, request: HttpRequest, refused: Result) -> HttpResponse:
        """The response of the socket's `error_handler` to the reason of a refused `connect`."""


async def check_handshake(
    hub: Hub, request: HttpRequest, path_params: dict[str, str], *, is_upgrade: bool = False
) -> Accepted | HttpResponse:
    """Check a request for the websocket path, and call `connect`.

    Args:
        is_upgrade: whether the web server has checked already that the request is an upgrade.

    Returns:
        The accepted client, or the response that refuses it.

    Raises:
        Exception: whatever `connect` raised; that is HTTP 500.
    """
    if request.method != "GET":
        return refusal(400)
    try:
        params = read_params(request, path_params)
    except BadQueryError as error:
        return refusal(400, str(error))
    endpoint, options = hub.endpoint, hub.options
    if not is_from_allowed_origin(request.headers.get("Origin"), request.origin, endpoint, options):
        return refusal(403)
    protocols = request.headers.get("Sec-WebSocket-Protocol")
    token = None
    if hub.mounted_socket.auth_token:
        try:
            protocols, token = take_auth_token(protocols)
        except ValueError as error:  # Phoenix raises, which is a 500 too
            log.debug("a client's auth token is not base64: %s", error)
            return refusal(500)
    is_acceptable, subprotocol = choose_subprotocol(hub, protocols)
    if not is_acceptable:
        return refusal(403)
    outcome = await _connect(hub, request, params, protocols, token, is_upgrade=is_upgrade)
    if isinstance(outcome, Admitted):
        return Accepted(*outcome, subprotocol)
    if subprotocol is not None and outcome.status != 500:
        outcome.headers.setdefault("Sec-WebSocket-Protocol", subprotocol)
    return outcome


async def _connect(  # noqa: PLR0913 - keyword-only after five
    hub: Hub,
    request: HttpRequest,
    params: Params,
    protocols: str | None,
    token: str | None,
    *,
    is_upgrade: bool,
) -> Admitted | HttpResponse:
    """Call `connect`, then check the upgrade."""
    auth_token = {"auth_token": token} if hub.mounted_socket.auth_token else {}
    info = await full_connect_info(request, params, hub.options, protocols, auth_token)
    admitted = await admit(params, info, hub.endpoint, hub.mounted_socket, hub.options)
    if isinstance(admitted, Result):
        if hub.options.error_handler is None or admitted.payload == {}:
            return refusal(403)
        return await hub.respond(request, admitted)
    refused = None if is_upgrade else _check_upgrade(request)
    if refused is None and not hub.endpoint.is_open(hub):
        refused = refusal(503)
    return refused or admitted


def choose_subprotocol(hub: Hub, header: str | None) -> tuple[bool, str | None]:
    """Whether the request is acceptable, and the subprotocol for the response."""
    offered = offered_subprotocols(header)
    supported = hub.options.subprotocols
    if hub.mounted_socket.auth_token:
        supported = ("phoenix", *(supported or ()))
    is_acceptable, subprotocol = select_subprotocol(offered, supported)
    if not is_acceptable:
        log.error(
            "Could not check Websocket subprotocols: offered %s, supported %r",
            brief(offered),
            supported,
        )
    return is_acceptable, subprotocol


def _check_upgrade(request: HttpRequest) -> HttpResponse | None:
    """The response to a request that is not a valid upgrade."""
    problem = upgrade_error(request.headers, request.http_version)
    if problem is not None:
        return refusal(400, problem)
    return refusal(500, closes=True) if has_several_keys(request.headers) else None
