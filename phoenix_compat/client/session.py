"""The aiohttp session of clients."""

from __future__ import annotations

from typing import Any

import aiohttp


class UpgradeFailedError(aiohttp.ClientError):
    """A connection was lost before the answer to an upgrade."""


def new_session(**options: Any) -> aiohttp.ClientSession:
    """An aiohttp session for `Client(session=…)`, which many clients can share; close it yourself.

    It opens as many connections as there are clients, and lets them wait before they try again:
    aiohttp by itself repeats an upgrade at once if its connection is reset.

    Args:
        options: those of `aiohttp.ClientSession`, for example `headers` or `trust_env`.
    """
    if "connector" not in options:
        options["connector"] = aiohttp.TCPConnector(limit=0)
    middlewares = (*options.pop("middlewares", ()), _do_not_repeat_upgrades)
    return aiohttp.ClientSession(middlewares=middlewares, **options)


async def _do_not_repeat_upgrades(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Raise an error that is not one of those after which aiohttp tries again."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # not repeated
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        if "Upgrade" not in request.headers:
            raise
        raise UpgradeFailedError from None
