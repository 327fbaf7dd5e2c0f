"""Finds out who opens a socket and who joins a channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

import structlog
from aiohttp import web

from phoenix_compat.protocol.message import JSON
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import Result, error
from phoenix_compat.server.auth.authenticator import OPEN, OWNER_HEADER, Authenticator
from phoenix_compat.server.auth.errors import (
    AuthUnavailableError,
    BadOwnerError,
    UnauthorizedError,
)
from phoenix_compat.server.auth.principal import Principal, Scope, ScopeError
from phoenix_compat.server.rates.connect_attempt import current_attempt
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter
from phoenix_compat.socket import ConnectInfo, Socket
from phoenix_compat.tasks.model.errors import StoreUnavailableError

DISCONNECT: Final = "disconnect"

_RETRY_AFTER_S: Final = "2"
_UNAVAILABLE: Final = (AuthUnavailableError, StoreUnavailableError)
_REFUSED: Final = (UnauthorizedError, ScopeError, BadOwnerError)

log = structlog.stdlib.get_logger(__name__)


class SocketAuthentication:
    """Authenticates sockets, and joins where the handshake had no credential.

    Args:
        limiter: limits how many invalid credentials one address may send; None does not.
        at_join: whether clients without credential may connect, and send one with each join.
        closes_expired: whether a socket is closed when its credential expires.
    """

    def __init__(
        self,
        authenticator: Authenticator = OPEN,
        limiter: RateLimiter | None = None,
        *,
        at_join: bool = False,
        closes_expired: bool = False,
    ) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._at_join = at_join and authenticator.is_on
        self._closes_expired = closes_expired

    @property
    def header_names(self) -> tuple[str, ...]:
        """The headers that `connect` needs; an option of the transports."""
        return (*self._authenticator.places.headers, OWNER_HEADER)

    async def connect(self, params: Params, socket: Socket, info: ConnectInfo) -> bool:
        """Whether a client may connect; assigns its `principal`, None if each join has its own.

        Raises:
            HTTPServiceUnavailable: it cannot be decided now. A refusal would tell the app that its
                user must log in again.
        """
        headers: list[tuple[str, str]] = info["headers"]
        places = self._authenticator.places
        owners = [value for name, value in headers if name == OWNER_HEADER] if headers else ()
        attempt = current_attempt()
        socket.assign(principal=None, address=attempt.address)
        try:
            in_headers = places.in_headers(headers) if headers else ()
            carried = chain((info.get("auth_token"),), in_headers, places.in_params(params))
            credential = self._credential_of(carried, attempt.address)
            if credential is None and self._at_join and not owners:
                return True
            principal = await self._identify(credential, socket, owners)
        except RateLimitedError as too_fast:
            attempt.refused = too_fast
            return False
        except _REFUSED as refusal:
            log.info("socket.refused", reason=str(refusal))
            return False
        except _UNAVAILABLE as unavailable:
            log.warning("socket.cannot_authenticate", reason=str(unavailable))
            raise web.HTTPServiceUnavailable(headers={"Retry-After": _RETRY_AFTER_S}) from None
        socket.assign(principal=principal)
        if principal.via is not None:
            socket.subscribe(owner_topic(principal.via))  # it closes when that key is revoked
        self._close_when_expired(principal, socket)
        return True

    def socket_id(self, socket: Socket) -> str | None:
        """The topic on which the sockets of an owner are disconnected; None without owner."""
        principal: Principal | None = socket.assigns["principal"]
        return owner_topic(principal.owner) if principal is not None and principal.owner else None

    async def join(self, payload: JSON, socket: Socket) -> Result | None:
        """Check that a client may join; assigns the channel's `principal`.

        A credential in the payload counts for this channel alone. Without one the channel has the
        principal of its socket.

        Returns:
            None, or the error that refuses the join.
        """
        try:
            if self._at_join:
                await self._identify_join(payload, socket)
            principal: Principal = socket.assigns["principal"]
            principal.require(Scope.READ)
        except UnauthorizedError as refusal:
            log.info("channel.refused", reason=str(refusal))
            return error(reason="unauthorized")
        except ScopeError:
            return error(reason="forbidden")
        except RateLimitedError as too_fast:
            # The reason after which apps stay: the client joins again by itself.
            return error(reason="unavailable", detail=str(too_fast))
        except _UNAVAILABLE as unavailable:
            log.warning("channel.cannot_authenticate", reason=str(unavailable))
            return error(reason="unavailable")  # the client joins again by itself
        return None

    async def _identify_join(self, payload: JSON, socket: Socket) -> None:
        given = payload if isinstance(payload, Mapping) else {}
        carried = self._authenticator.places.in_params(given)
        credential = self._credential_of(carried, socket.assigns["address"])
        if credential is None and socket.assigns["principal"] is not None:
            return
        principal = await self._identify(credential, socket, ())
        socket.assign(principal=principal)
        self._close_when_expired(principal, socket)
        socket.subscribe(owner_topic(principal.owner))  # its socket may have another id, or none

    def _credential_of(self, carried: Iterable[str | None], address: str | None) -> str | None:
        """The credential that a client sent; one that cannot be read counts as a failed one."""
        try:
            return self._authenticator.credential_of(carried)
        except UnauthorizedError:
            if self._limiter is not None:
                self._limiter.check_credentials(address)
                self._limiter.credential_failed(address)
            raise

    async def _identify(
        self, credential: str | None, socket: Socket, owners: tuple[str, ...] | list[str]
    ) -> Principal:
        if len(owners) > 1:
            raise BadOwnerError("was sent more than once")
        address: str | None = socket.assigns["address"]
        owner = owners[0] if owners else None
        if credential is None or self._limiter is None:
            return await self._authenticator.authenticate(credential, owner=owner)
        self._limiter.check_credentials(address)
        try:
            return await self._authenticator.authenticate(credential, owner=owner)
        except UnauthorizedError:
            self._limiter.credential_failed(address)
            raise

    def _close_when_expired(self, principal: Principal, socket: Socket) -> None:
        if self._closes_expired and principal.expires_at_s is not None:
            socket.close_at(principal.expires_at_s)


def owner_topic(owner: str) -> str:
    """The topic on which a "disconnect" closes the sockets and channels of an owner."""
    return f"user:{owner}"
