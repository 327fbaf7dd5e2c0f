"""Answers clients that are too fast with 429: two middlewares around the routes.

The one of `RateLimits` runs in the process that the client reached, before a request is forwarded.
`limiting_owners` runs where the owner is known: inside of `authenticating`. Both refuse a request
before its body is read.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.server.auth.credential import CredentialPlaces
from phoenix_compat.server.http.authentication import principal_of
from phoenix_compat.server.http.problem import API_PREFIX, ProblemError
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.client_address import CLIENT_ADDRESS, ClientAddresses
from phoenix_compat.server.rates.connect_attempt import ConnectAttempt
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter

RATE_LIMITER: Final = web.AppKey("rate_limiter", RateLimiter)
"""The key under which an application stores its limiter."""

_STARTING_PATH: Final = re.compile(r"/api/tasks(?:/.+/retry)?", re.DOTALL)


class RateLimits:
    """The limits of one process, and the middleware that applies those of addresses.

    Args:
        places: where a request may have a credential.
        processes: how many processes share the port; None if this is the only one.

    Attributes:
        limiter: the limits, for sockets and channels.
        addresses: finds the clients' addresses.
    """

    def __init__(
        self, settings: RateSettings, places: CredentialPlaces, processes: int | None = None
    ) -> None:
        self.limiter = RateLimiter(settings, processes=processes or 1)
        self._places = places
        self.addresses = ClientAddresses(settings.trusted_proxies, has_peers=processes is not None)

    def change(self, settings: RateSettings) -> None:
        """Use these rates and trust these proxies from now on."""
        self.limiter.change(settings)
        self.addresses.trust(settings.trusted_proxies)

    def is_uncounted(self, address: str) -> bool:
        """Whether this IP address is of this machine or of a trusted proxy."""
        return self.addresses.is_uncounted(address)

    @property
    def middleware(self) -> Middleware:
        """The middleware; it must be outside of the one that forwards requests.

        It also stores the address of the client under `CLIENT_ADDRESS`.
        """

        @web.middleware
        async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
            address = request[CLIENT_ADDRESS] = self.addresses.of(request)
            if request.path.startswith(API_PREFIX):
                return await self._limit_api(request, address, handler)
            with ConnectAttempt(address) as attempt:
                response = await handler(request)
            return response if attempt.refused is None else _refused(response, attempt.refused)

        return limit

    async def _limit_api(
        self, request: web.Request, address: str | None, handler: Handler
    ) -> web.StreamResponse:
        """Limit what an address creates, and how many invalid credentials it sends.

        The answer tells whether a credential was invalid: another process may have checked it.
        """
        has_credential = any(self._places.in_request(request.headers))
        try:
            if has_credential:
                self.limiter.check_credentials(address)
            if _starts_task(request):
                self.limiter.take_create("", address)
        except RateLimitedError as error:
            return _problem(error).response()
        response = await handler(request)
        if has_credential and response.status == HTTPStatus.UNAUTHORIZED:
            self.limiter.credential_failed(address)
        return response


def limiting_owners(limiter: RateLimiter) -> Middleware:
    """Build the middleware; it must be inside of `authenticating` and `problem_middleware`."""

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _starts_task(request):
            try:
                limiter.take_create(principal_of(request).owner, None)
            except RateLimitedError as error:
                raise _problem(error) from error
        return await handler(request)

    return limit


def _starts_task(request: web.Request) -> bool:
    return request.method == hdrs.METH_POST and _STARTING_PATH.fullmatch(request.path) is not None


def _problem(error: RateLimitedError) -> ProblemError:
    return ProblemError(429, "too-many-requests", str(error), headers=_retry_after(error))


def _refused(response: web.StreamResponse, error: RateLimitedError) -> web.StreamResponse:
    """Turn the refusal of a transport into a 429.

    The body of long-polling stays as it is: phoenix.js reads only `{"status": 403}` in it, and then
    tries again with its usual pauses; a 429 there would stop it.
    """
    if response.status == 403:
        text = f"{error}\n"
        return web.Response(status=429, text=text, headers=_retry_after(error))
    response.set_status(429)
    response.headers.update(_retry_after(error))
    return response


def _retry_after(error: RateLimitedError) -> dict[str, str]:
    return {hdrs.RETRY_AFTER: str(error.retry_after_s)}
