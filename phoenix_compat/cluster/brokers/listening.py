"""Listens to a bus, and tries its broker, without becoming one of its nodes: for commands."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from time import perf_counter
from typing import Final

from phoenix_compat.cluster.brokers.broker import Broker, BrokerError
from phoenix_compat.cluster.brokers.broker_bus import HEARTBEAT_S
from phoenix_compat.cluster.brokers.messages import Bye, Hello, InvalidMessageError, unpack

LISTEN_S: Final = 1.5 * HEARTBEAT_S
"""Every node says Hello in this time."""


async def overhear(
    broker: Broker, prefix: str, listen_s: float = LISTEN_S
) -> frozenset[int] | None:
    """The nodes that are heard on a bus; None if the broker cannot be reached.

    Args:
        prefix: see BrokerBus.

    Raises:
        MissingExtraError: the driver is not installed.
    """
    heard: set[int] = set()
    connected = asyncio.Event()

    def note(_subject: str, data: bytes) -> None:
        with suppress(InvalidMessageError):
            node, _, message = unpack(data)
            if isinstance(message, Hello):
                heard.add(node)
            elif isinstance(message, Bye):
                heard.discard(node)

    await asyncio.to_thread(broker.load)
    with suppress(TimeoutError, BrokerError):
        async with asyncio.timeout(listen_s):
            await broker.run((f"{prefix}.all",), note, connected.set)
    return frozenset(heard) if connected.is_set() else None


async def echo_s(broker: Broker, prefix: str, timeout_s: float) -> float | None:
    """How long a message takes to the broker and back, in seconds; None if it does not come.

    Args:
        prefix: see BrokerBus.

    Raises:
        MissingExtraError: the driver is not installed.
    """
    subject = f"{prefix}.{secrets.token_hex(6)}"
    loop = asyncio.get_running_loop()
    sent_at_s = 0.0
    taken_s: float | None = None

    def send() -> None:
        nonlocal sent_at_s
        sent_at_s = perf_counter()
        broker.publish(subject, b"echo")

    def note(_subject: str, _data: bytes) -> None:
        nonlocal taken_s
        if taken_s is None:
            taken_s = perf_counter() - sent_at_s
            limit.reschedule(loop.time())  # which ends the connection

    await asyncio.to_thread(broker.load)
    with suppress(TimeoutError, BrokerError):
        async with asyncio.timeout(timeout_s) as limit:
            await broker.run((subject,), note, send)
    return taken_s
