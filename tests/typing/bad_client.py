"""Mistakes with a client; each line marked `# bad` must be reported, and no other."""

from __future__ import annotations

from phoenix_compat.client import Client, ClientLimits, Presence


async def wrong_options(url: str) -> None:
    """Options of wrong types."""
    Client(url, vsn="2")  # bad: arg-type
    Client(url, transport="ws")  # bad: arg-type
    Client(url, params="token=1")  # bad: arg-type
    Client(url, timeout=1.0)  # bad: call-arg
    Client(url, limits={"max_queued_messages": 1})  # bad: arg-type
    ClientLimits(max_queued_messages="1")  # bad: arg-type


async def wrong_calls(client: Client) -> None:
    """Calls of wrong forms."""
    channel = client.channel("room:a", ["a"])  # bad: arg-type
    channel.push("x")  # bad: unused-coroutine
    Presence(client)  # bad: arg-type
    Presence(channel).on_join(lambda key: [key])  # bad: arg-type, misc
    client.on_close(lambda: None)  # bad: arg-type, misc
    for _ in channel:  # bad: attr-defined
        pass
