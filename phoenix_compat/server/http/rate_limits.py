"""Answers clients that are too fast with 429, before the bodies of their requests are read.

The middleware of `RateLimits` runs in the process that the client reached, before a request is
forwarded. `limit_owner` runs where the owner is known, after authentication.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.server.auth.credential import CredentialPlaces
from phoenix_compat.server.http.authentication import principal_of
from phoenix_compat.server.http.base_url import base_url_of
from phoenix_compat.server.http.problem import API_PREFIX, ProblemError
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.client_address import CLIENT_ADDRESS, ClientAddresses
from phoenix_compat.server.rates.connect_attempt import ConnectAttempt
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter

RATE_LIMITER: Final = web.AppKey("rate_limiter", RateLimiter)
"""The key under which an application stores its limiter."""

_TASKS_PATH: Final = "/api/tasks"
_FILES_PATH: Final = "/api/files"
_RETRY_PATH: Final = re.compile(r"/api/tasks/.+/retry", re.DOTALL)


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

        It also stores the address of the client under `CLIENT_ADDRESS`. The address by which the
        client reaches this server must be known before.
        """
        api_prefix, address_of, limit_api = API_PREFIX, self.addresses.of, self._limit_api

        @web.middleware
        async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
            address = request[CLIENT_ADDRESS] = address_of(request)
            if not request.path.startswith(api_prefix):
                with ConnectAttempt(address, base_url_of(request)) as attempt:
                    response = await handler(request)
                return response if attempt.refused is None else _refused(response, attempt.refused)
            try:
                has_credential = limit_api(request, address)
            except RateLimitedError as error:
                return _problem(error).response()
            response = await handler(request)
            # The answer tells it: another process may have checked the credential.
            if has_credential and response.status == HTTPStatus.UNAUTHORIZED:
                self.limiter.credential_failed(address)
            return response

        return limit

    def _limit_api(self, request: web.Request, address: str | None) -> bool:
        """Limit what an address creates, and how many invalid credentials it sends.

        Returns:
            Whether the request has a credential.

        Raises:
            RateLimitedError: the address is too fast.
        """
        if address is None:  # not counted
            return False
        has_credential = any(self._places.in_request(request.headers))
        if has_credential:
            self.limiter.check_credentials(address)
        if _is_limited(request):
            self.limiter.take_create("", address)
        return has_credential


def limit_owner(limiter: RateLimiter, request: web.Request) -> None:
    """Count a request that creates or retries a task, or sends a file, for its owner.

    Raises:
        ProblemError: 429, the owner is too fast.
    """
    if _is_limited(request):
        try:
            limiter.take_create(principal_of(request).owner, None)
        except RateLimitedError as error:
            raise _problem(error) from error


def _is_limited(request: web.Request) -> bool:
    if request.method != hdrs.METH_POST:
        return False
    path = request.path
    return path in {_TASKS_PATH, _FILES_PATH} or _RETRY_PATH.fullmatch(path) is not None


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
