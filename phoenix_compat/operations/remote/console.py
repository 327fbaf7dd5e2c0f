"""Asks the channels of the console, as its pages do; the credential needs the scope `operate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from phoenix_compat.bounded import plain
from phoenix_compat.client import Client, ClientError, ConnectError, JoinError, PushError
from phoenix_compat.operations.remote.access import Remote, RemoteError

_SOCKET_PATH: Final = "/console/socket"
_MAX_DETAIL_CHARS: Final = 1_000


async def ask_console(remote: Remote, topic: str, event: str, payload: dict[str, object]) -> Any:
    """The answer to one event on one topic of the console.

    Raises:
        RemoteError: the server cannot be reached, or refuses.
    """
    has_credential = await remote.credential() is not None
    token = remote.credential if has_credential else None
    try:
        async with (
            remote.session() as session,
            Client(remote.url + _SOCKET_PATH, auth_token=token, session=session) as client,
        ):
            channel = client.channel(topic)
            await channel.join()
            return await channel.push(event, payload)
    except ConnectError as error:
        if error.status not in {401, 403}:
            raise RemoteError(str(error)) from None
        asks = "does not let this credential operate it" if has_credential else "asks for a key"
        remedy = remote.remedy
        raise RemoteError(f'{remote.name} {asks} (scope "operate"); {remedy}') from None
    except JoinError as error:
        raise RemoteError(
            f"{remote.name} has no list of this kind; it may be an older version ({error})"
        ) from None
    except PushError as error:
        detail = error.response.get("detail") if isinstance(error.response, Mapping) else None
        text = plain(detail, _MAX_DETAIL_CHARS) if isinstance(detail, str) else str(error)
        raise RemoteError(text) from None
    except ClientError as error:
        raise RemoteError(f"{remote.name} does not answer: {error}") from None
