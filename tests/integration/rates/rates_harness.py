"""Servers with low limits, and clients that reach them through a trusted proxy on the loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phoenix_compat.conformance.suite.wire_client import HttpResponse
from phoenix_compat.server.process.settings import Settings
from tests.integration.task_server import settings_for
from tests.wire import PatientClient

ALICE = "203.0.113.7"
BOB = "2001:db8:1:2::9"
WEBSOCKET = "/socket/websocket?vsn=2.0.0"
LONGPOLL = "/socket/longpoll?vsn=2.0.0"
MONK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


def limited(folder: Path, **fields: Any) -> Settings:
    """Settings of a server without authentication, with a proxy for clients from anywhere."""
    given = {"trusted_proxies": ("127.0.0.1",), "insecure_no_auth": True}
    return settings_for(folder, **{**given, **fields})


def via_proxy(address: str) -> dict[str, str]:
    """The header with which the proxy names a client."""
    return {"X-Forwarded-For": address}


async def knock(url: str, address: str, target: str = WEBSOCKET) -> HttpResponse:
    """The response to a websocket's handshake of this client, which then leaves."""
    client = await PatientClient.connect(url)
    try:
        return await client.handshake(target, extra=list(via_proxy(address).items()))
    finally:
        await client.close()
