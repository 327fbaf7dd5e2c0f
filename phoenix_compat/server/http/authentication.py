"""Finds out who sent a request to the API, before its handler runs, and what it may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from phoenix_compat.server.auth.authenticator import OPEN, OWNER_HEADER, Authenticator
from phoenix_compat.server.auth.errors import (
    AuthUnavailableError,
    BadOwnerError,
    UnauthorizedError,
)
from phoenix_compat.server.auth.principal import Principal
from phoenix_compat.server.http.problem import BUSY_RETRY_AFTER_S, ProblemError

Authenticate: TypeAlias = Callable[[web.Request], Awaitable[Principal]]
"""Returns the sender of a request. Raises ProblemError: 400, 401, 403 or 503, with the way out."""

AUTHENTICATOR: Final = web.AppKey("authenticator", Authenticator)
"""The key under which an application stores it."""

_PRINCIPAL: Final = web.RequestKey("principal", Principal)
_OWNER: Final = "X-Owner"
_CHALLENGE: Final[Mapping[str, str]] = {hdrs.WWW_AUTHENTICATE: "Bearer"}


def authenticating_requests(authenticator: Authenticator) -> Authenticate:
    """The function that finds out who sent a request, by its headers."""

    async def authenticate(request: web.Request) -> Principal:
        try:
            credential = authenticator.credential_of(
                authenticator.places.in_request(request.headers)
            )
            return await authenticator.authenticate(credential, owner=_named_owner(request))
        except UnauthorizedError as error:
            detail = f"The request is not authorized: {error}."
            raise ProblemError(401, "unauthorized", detail, headers=_CHALLENGE) from error
        except BadOwnerError as error:
            detail = f"The header {_OWNER} {error}."
            raise ProblemError(400, "bad-owner", detail, errors=((_OWNER, str(error)),)) from error
        except AuthUnavailableError as error:
            detail = f"The credential cannot be checked at the moment: {error}. Try again."
            headers: Mapping[str, str] = {hdrs.RETRY_AFTER: str(BUSY_RETRY_AFTER_S)}
            raise ProblemError(503, "auth-unavailable", detail, headers=headers) from error

    return authenticate


anyone: Final = authenticating_requests(OPEN)
"""Authenticates nobody: every client may do everything."""


async def note_principal(authenticate: Authenticate, request: web.Request) -> None:
    """Find out who sent a request, for `principal_of`. Raises what `authenticate` raises."""
    request[_PRINCIPAL] = await authenticate(request)


def principal_of(request: web.Request) -> Principal:
    """The sender of a request to the API.

    Raises:
        KeyError: it was not noted; a bug.
    """
    return request[_PRINCIPAL]


def _named_owner(request: web.Request) -> str | None:
    """The owner for whom the request is, if it names one."""
    owners = request.headers.getall(OWNER_HEADER, [])
    if len(owners) > 1:
        raise BadOwnerError("was sent more than once")
    return owners[0] if owners else None
