"""Runs `phoenix-channels-python-client` against the fault server: one client for each scenario.

The client cannot push, so its app reports over HTTP. Its reconnect policy is the default one with
shorter delays.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
from phoenix_channels_python_client import PHXChannelsClient, ReconnectPolicy
from phoenix_channels_python_client.exceptions import PHXTopicError

SHORT_DELAYS = ReconnectPolicy(
    base_delay_s=0.05,
    max_delay_s=0.6,
    stable_reset_s=6.0,
    service_restart_min_delay_s=0.1,
    service_restart_max_delay_s=0.5,
    rapid_first_min_delay_s=0.2,
    rapid_second_min_delay_s=0.3,
    rapid_cooldown_base_s=0.7,
    rapid_cooldown_step_s=0.1,
    rapid_cooldown_max_s=1.0,
)


@asynccontextmanager
async def playing(
    base_url: str,
    name: str,
    without: Collection[str] = (),
    only: Collection[str] = (),
    **options: Any,
) -> AsyncIterator[None]:
    """Play all or some scenarios until the context ends.

    Args:
        name: the name of the client at the fault server.
        options: further arguments of PHXChannelsClient.
    """
    logging.getLogger("phoenix_channels_python_client").setLevel(logging.CRITICAL)
    async with AsyncExitStack() as stack:
        headers = {"X-Control-Token": os.environ.get("CONTROL_TOKEN", "")}
        http = await stack.enter_async_context(aiohttp.ClientSession(base_url, headers=headers))
        async with http.get("/control/scenarios", params={"client": name}) as answer:
            scenarios = (await answer.json())["scenarios"]
        chosen = [s for s in scenarios if s["id"] not in without and (not only or s["id"] in only)]
        clients = await asyncio.gather(*(_connect(stack, s["url"], options) for s in chosen))
        pairs = zip(clients, chosen, strict=True)
        await asyncio.gather(*(_subscribe(client, http, scenario) for client, scenario in pairs))
        yield


async def _connect(stack: AsyncExitStack, url: str, options: Any) -> PHXChannelsClient:
    client = PHXChannelsClient(
        f"{url}/websocket?token=t1",  # its query stays the same, like its key
        "key",
        reconnect_policy=SHORT_DELAYS,
        join_timeout_s=0.9,
        leave_timeout_s=0.1,
        heartbeat_interval_s=0.4,
        **options,
    )
    return await stack.enter_async_context(client)


async def _subscribe(client: PHXChannelsClient, http: aiohttp.ClientSession, scenario: Any) -> None:
    async def report(message: Any) -> None:
        if str(message.event) != "ask":
            return
        payload = message.payload
        reported = payload if isinstance(payload, dict) else {"bytes": len(payload)}
        body = {"client": scenario["client"], "lane": scenario["lane"], "payload": reported}
        async with http.post("/control/heard", json=body | {"topic": scenario["topic"]}):
            pass

    with suppress(PHXTopicError):  # the client does not retry; an app would have to
        await client.subscribe_to_topic(scenario["topic"], report)
