"""Opens the connections, lets them send, waits for what is still to come, and counts."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

import aiohttp

from phoenix_compat.conformance.load.client import JoinError, LoadClient
from phoenix_compat.conformance.load.generator import Generator
from phoenix_compat.conformance.load.histogram import Histogram
from phoenix_compat.conformance.load.plan import LoadPlan

_OPENING: Final = 50
"""How many connections are opened at the same time."""

_OPEN_TIMEOUT_S: Final = 15.0
_CLOSE_TIMEOUT_S: Final = 2.0
QUIET_S: Final = 5.0
_MAX_DRAIN_S: Final = 60.0
"""How long the end is waited for in all."""

_LAST_SEND_S: Final = 2.0
"""How long after the end messages are still sent that were due before."""
_TICK_S: Final = 0.2
_MAX_REASONS: Final = 20

_FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, JoinError, ValueError)


class LoadResult(StrEnum):
    """What a run says about the server."""

    CLEAN = "clean"
    NOT_CLEAN = "not clean"
    NOT_JUDGED = "not judged"


@dataclass(slots=True)
class LoadOutcome:
    """What came of a run.

    Attributes:
        joined: how many connections joined.
        refused: how many did not, by reason.
        ends: connections and channels that ended before the run did, by how they ended.
        echoes_sent, echoes_received, broadcasts_sent, broadcasts_received: messages; a broadcast
            is sent once and received by each connection of its topic.
        missing, out_of_order, duplicated, altered: messages. What a connection would have received
            after its end is not missing.
        echo_latency, broadcast_latency: from sending to receiving, in the clock of this machine.
        join_latency: from opening the connection to the reply to the join.
        max_p99_s: the limit for the latencies; None without one.
        generator: whether the load was the one asked for.
    """

    joined: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    echoes_sent: int = 0
    echoes_received: int = 0
    broadcasts_sent: int = 0
    broadcasts_received: int = 0
    missing: int = 0
    out_of_order: int = 0
    duplicated: int = 0
    altered: int = 0
    echo_latency: Histogram = field(default_factory=Histogram)
    broadcast_latency: Histogram = field(default_factory=Histogram)
    join_latency: Histogram = field(default_factory=Histogram)
    max_p99_s: float | None = None
    generator: Generator = field(default_factory=Generator)

    @property
    def wrong(self) -> dict[str, int]:
        """The counts that must be 0 whatever this program does."""
        return {
            "out of order": self.out_of_order,
            "duplicated": self.duplicated,
            "altered": self.altered,
        }

    @property
    def doubtful(self) -> dict[str, int]:
        """The counts that must be 0, unless this program was too slow to read in time."""
        return {
            "missing": self.missing,
            "not joined": self.refused.total(),
            "disconnected": self.ends.total(),
            "not sent because the server did not read": self.generator.held_back,
            "slower than the limit": int(self.is_too_slow),
        }

    @property
    def is_too_slow(self) -> bool:
        """Whether more than one message in a hundred took longer than the limit."""
        latencies = (self.echo_latency, self.broadcast_latency)
        slowest_s = max(latency.percentile_s(99.0) for latency in latencies)
        return self.max_p99_s is not None and slowest_s > self.max_p99_s

    @property
    def result(self) -> LoadResult:
        """Clean, or not; not judged if this program did not send what was asked for."""
        if any(self.wrong.values()):
            return LoadResult.NOT_CLEAN
        if self.joined and self.generator.problem is not None:
            return LoadResult.NOT_JUDGED
        return LoadResult.NOT_CLEAN if any(self.doubtful.values()) else LoadResult.CLEAN


OnTick: TypeAlias = Callable[[LoadOutcome], None]


async def run_load(
    plan: LoadPlan,
    *,
    max_p99_s: float | None = None,
    quiet_s: float = QUIET_S,
    on_tick: OnTick = lambda _outcome: None,
) -> LoadOutcome:
    """Run a plan to its end.

    Args:
        max_p99_s: the limit for the 99th percentile of the latencies, in seconds.
        quiet_s: what has not come when the sending ends is missing after nothing has come for so
            long.
        on_tick: called some times a second with the outcome so far; only the generator and the
            latencies are current.
    """
    outcome = LoadOutcome(max_p99_s=max_p99_s)
    async with AsyncExitStack() as stack:
        # No limit of aiohttp's own: it counts all connections to one host.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        clients = await _open(session, plan, outcome)
        readers = [asyncio.create_task(client.receive()) for client in clients]
        heartbeats = [asyncio.create_task(client.send_heartbeats()) for client in clients]
        try:
            await _send(clients, plan, outcome, on_tick)
            await _drain(clients, quiet_s)
            on_tick(outcome)
        finally:
            for task in heartbeats:
                task.cancel()
            outcome.ends.update(client.end for client in clients if client.end is not None)
            await asyncio.gather(*(client.close() for client in clients))
            await _all_ended(*readers, *heartbeats)
    _count(clients, outcome)
    return outcome


async def _open(
    session: aiohttp.ClientSession, plan: LoadPlan, outcome: LoadOutcome
) -> list[LoadClient]:
    """Open the connections and join; returns those that did, in order of their topics."""
    run = secrets.token_hex(4)
    padding = "x" * plan.payload_bytes
    gate = asyncio.Semaphore(_OPENING)
    clients: dict[int, LoadClient] = {}

    async def open_one(number: int) -> None:
        async with gate:
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(_OPEN_TIMEOUT_S):
                    socket = await session.ws_connect(
                        f"{plan.url}/socket/websocket?vsn=2.0.0",
                        max_msg_size=0,
                        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                    )
                    client = LoadClient(
                        socket,
                        f"room:load-{run}-{number // plan.per_topic}",
                        echo_latency=outcome.echo_latency,
                        broadcast_latency=outcome.broadcast_latency,
                        padding=padding,
                    )
                    await client.join(_OPEN_TIMEOUT_S)
            except _FAILURES as error:
                reason = str(error) or type(error).__name__
                known = reason in outcome.refused or len(outcome.refused) < _MAX_REASONS
                outcome.refused[reason if known else "other reasons"] += 1
                return
            outcome.join_latency.record(time.monotonic() - began_s)
            clients[number] = client

    await asyncio.gather(*(open_one(number) for number in range(plan.connections)))
    outcome.joined = len(clients)
    return [clients[number] for number in sorted(clients)]


async def _send(
    clients: list[LoadClient], plan: LoadPlan, outcome: LoadOutcome, on_tick: OnTick
) -> None:
    """Let the clients send, each at its own times, which are spread evenly."""
    senders = list({client.topic: client for client in reversed(clients)}.values())[::-1]
    generator = outcome.generator
    began_s = time.monotonic()
    until_s = began_s + plan.for_s
    sending: list[Awaitable[None]] = []
    if plan.echo_rate:
        for first_s, interval_s, client in _schedule(clients, plan.echo_rate, began_s):
            sending.append(client.send_echoes(first_s, interval_s, until_s, generator))
    if plan.broadcast_rate:
        for first_s, interval_s, client in _schedule(senders, plan.broadcast_rate, began_s):
            sending.append(client.send_broadcasts(first_s, interval_s, until_s, generator))
    generator.begin()
    watch = asyncio.create_task(generator.watch_loop())
    tasks = asyncio.gather(*sending)
    while not tasks.done():
        await asyncio.wait([tasks], timeout=_TICK_S)
        on_tick(outcome)
        if time.monotonic() > until_s + _LAST_SEND_S:
            tasks.cancel()
    generator.end()
    watch.cancel()
    await _all_ended(tasks, watch)


async def _all_ended(*tasks: asyncio.Future[Any]) -> None:
    """Wait for tasks, of which some were cancelled; raise what another one raised."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def _schedule(
    clients: list[LoadClient], rate: float, began_s: float
) -> Iterator[tuple[float, float, LoadClient]]:
    """When each client sends for the first time, and how long after each time again."""
    for number, client in enumerate(clients):
        yield began_s + (number + 0.5) / rate, len(clients) / rate, client


async def _drain(clients: list[LoadClient], quiet_s: float) -> None:
    """Wait for what has not come yet."""
    began_s = last_s = time.monotonic()
    seen = -1
    while _outstanding(clients):
        received = sum(client.echoes.received + client.broadcasts.received for client in clients)
        now_s = time.monotonic()
        if received != seen:
            seen, last_s = received, now_s
        if now_s - last_s > quiet_s or now_s - began_s > _MAX_DRAIN_S:
            return
        await asyncio.sleep(_TICK_S)


def _outstanding(clients: list[LoadClient]) -> int:
    """How many messages connections that are still there have not received."""
    sent = _broadcasts_sent(clients)
    return sum(
        client.echoes.missing(client.echoes_sent) + client.broadcasts.missing(sent[client.topic])
        for client in clients
        if client.end is None
    )


def _broadcasts_sent(clients: list[LoadClient]) -> Counter[str]:
    """By topic."""
    sent: Counter[str] = Counter()
    for client in clients:
        sent[client.topic] += client.broadcasts_sent
    return sent


def _count(clients: list[LoadClient], outcome: LoadOutcome) -> None:
    sent = _broadcasts_sent(clients)
    for client in clients:
        is_whole = client.end is None
        outcome.missing += client.echoes.missing(client.echoes_sent if is_whole else None)
        outcome.missing += client.broadcasts.missing(sent[client.topic] if is_whole else None)
        outcome.echoes_sent += client.echoes_sent
        outcome.echoes_received += client.echoes.received
        outcome.broadcasts_sent += client.broadcasts_sent
        outcome.broadcasts_received += client.broadcasts.received
        outcome.altered += client.altered
        for sequence in (client.echoes, client.broadcasts):
            outcome.out_of_order += sequence.out_of_order
            outcome.duplicated += sequence.duplicated
