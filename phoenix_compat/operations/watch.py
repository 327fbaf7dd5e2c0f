"""Follows a task over its channel, as an app does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import aiohttp

from phoenix_compat.bounded import plain
from phoenix_compat.client import Client, ConnectError, JoinError, JoinTimeoutError
from phoenix_compat.client.options import AuthToken
from phoenix_compat.errors import PhoenixCompatError

PROGRESS: Final = "progress"
_ENDS: Final = frozenset({"completed", "failed"})
_UNAVAILABLE: Final = "unavailable"


class WatchError(PhoenixCompatError):
    """A task cannot be followed; the text says why."""


async def follow_task(
    url: str,
    task_id: str,
    credential: AuthToken | None = None,
    *,
    session: aiohttp.ClientSession | None = None,
    name: str | None = None,
) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield the payload of each `progress` until the task has ended.

    A lost connection is made again, and a join that the server cannot decide now is repeated.

    Args:
        url: the URL of the server, without the path of its socket.
        credential: an API key or a token, or a function that returns one for each connection.
        session: connects to the server; see Client.
        name: how to call the server in errors; its URL if None.

    Raises:
        WatchError: the server cannot be reached, or refuses.
    """
    name = name or url
    try:
        async with Client(f"{url}/socket", auth_token=credential, session=session) as client:
            channel = client.channel(f"task:{task_id}")
            try:
                await channel.join()
            except JoinError as refusal:
                if isinstance(refusal, JoinTimeoutError) or _reason(refusal) != _UNAVAILABLE:
                    raise
            async for message in channel:
                if message.event != PROGRESS:
                    continue
                yield message.payload
                if message.payload["status"] in _ENDS:
                    return
    except ConnectError as error:
        raise WatchError(_refusal(name, error, credential)) from None
    except JoinTimeoutError as error:
        raise WatchError(f"{name} does not answer: {error}") from None
    except JoinError as refusal:
        raise WatchError(_join_refusal(name, task_id, _reason(refusal))) from None
    except (LookupError, TypeError) as error:
        raise WatchError(f"{name} is not a phoenix-compat server; check the URL") from error
    raise WatchError(f"{name} closed the channel before the task ended; try again")


def _refusal(url: str, error: ConnectError, credential: AuthToken | None) -> str:
    if error.status not in {401, 403}:
        return str(error)
    if credential is None:
        return f"{url} asks for a credential; name a file that contains a key: --key-file FILE"
    return f"{url} refuses this credential, or too many connections; check the file"


def _join_refusal(url: str, task_id: str, reason: str) -> str:
    match reason:
        case "not found":
            return f"{url} has no task {plain(task_id)} for you; check the id and the key"
        case "unauthorized":
            return f"{url} asks for a credential; name a file that contains a key: --key-file FILE"
        case "forbidden":
            return f"{url} does not let this key watch tasks; it needs the scope read"
        case _:
            return f"{url} refuses to show the task {plain(task_id)}: {reason}"


def _reason(refusal: JoinError) -> str:
    reason = refusal.reason
    return plain(reason.get("reason", "") if isinstance(reason, Mapping) else reason)
