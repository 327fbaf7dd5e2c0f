"""A client as users may write it; it type-checks in strict mode."""

from __future__ import annotations

from collections.abc import AsyncIterator

from phoenix_compat.client import (
    Client,
    ClientChannel,
    ClientCounters,
    ClientLimits,
    ConnectError,
    JoinError,
    Message,
    Presence,
    PushError,
    new_session,
)


async def fetch_token() -> str:
    """A coroutine function may be given for a token or for params."""
    return "token"


def told(payload: dict[str, str]) -> int:
    """A callback may say what it expects, and return anything."""
    return len(payload["body"])


async def listen(url: str) -> AsyncIterator[Message]:
    """Join, push and receive."""
    async with (
        new_session(headers={"X-App": "1"}) as session,
        Client(
            url,
            params=lambda: {"n": 1, "user": {"name": "ann"}},
            auth_token=fetch_token,
            vsn="2.0.0",
            transport="longpoll",
            reconnect_after_s=[1, 2.5],
            limits=ClientLimits(max_queued_messages=10),
            session=session,
        ) as client,
    ):
        channel: ClientChannel = client.channel("room:a", lambda: {"since": 7})
        presence = Presence(channel)
        presence.on_join(lambda key, before, joined: (key, before, joined["metas"]))
        presence.on_sync(lambda: [key for key, _entry in presence.list()])
        remove = channel.on("new_msg", told)
        client.on_close(lambda code, reason: (code + 1, reason.upper()))
        try:
            await channel.join(timeout_s=1)
        except JoinError as error:
            raise LookupError(error.topic) from error
        await channel.push("bytes", b"\x00")
        channel.push_nowait("typing")
        remove()
        async for message in channel:
            yield message
        await channel.leave()


async def connect(client: Client) -> ClientCounters:
    """The errors have attributes."""
    try:
        async with client:
            await client.channel("room:a").push("x", {"a": [1, None]})
    except ConnectError as error:
        raise LookupError(error.status, error.url) from error
    except PushError as error:
        raise LookupError(error.event, error.response) from error
    return client.counters
