"""One node for broadcasts: `python -m tests.benchmarks.nodes.broadcast_node PORT [BUS_URL]`.

It serves the reference channels on `/socket`, alone or connected to the other nodes by a bus.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web

from phoenix_compat import Endpoint, Presence, mount
from phoenix_compat.cluster.brokers import BrokerBus, NatsBus, PostgresBus, RedisBus
from phoenix_compat.conformance.reference import mount_reference_sockets
from phoenix_compat.server.process.listening import run, serve_until_signal

_KINDS: dict[str, Callable[[str], BrokerBus]] = {
    "nats": NatsBus,
    "postgresql": PostgresBus,
    "redis": RedisBus,
}


_SECRET = "benchmark" * 8


def new_bus(url: str) -> BrokerBus:
    """A bus through the broker of a URL."""
    return _KINDS[urlsplit(url).scheme](url)


def _node(bus_url: str | None) -> web.Application:
    bus = None if bus_url is None else new_bus(bus_url)
    endpoint = Endpoint(bus=bus, secret_key_base=_SECRET)
    mount_reference_sockets(endpoint, Presence(endpoint))
    app = web.Application()
    mount(app, endpoint)
    return app


@asynccontextmanager
async def _opened(app: web.Application) -> AsyncIterator[web.Application]:
    yield app


def main() -> None:
    """Serve until a signal."""
    port, *bus_urls = sys.argv[1:]
    app = _node(bus_urls[0] if bus_urls else None)
    run(serve_until_signal(_opened(app), "127.0.0.1", int(port), lambda _url: None))


if __name__ == "__main__":
    main()
