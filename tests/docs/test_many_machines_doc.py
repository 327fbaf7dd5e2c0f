"""The application of docs/many-machines.md as two nodes, as it stands, and the page's figures."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import secrets
import sys
from pathlib import Path

import aiohttp

from phoenix_compat import NatsBus, PostgresBus, RedisBus
from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.options import BusOptions
from tests.docs.pages import blocks, page
from tests.docs.test_workers_doc import SERVE, opened
from tests.integration.cluster.processes import until
from tests.integration.process.proxies import free_port
from tests.patience import patient
from tests.services.redis import OwnRedis

PAGE = page("many-machines.md")


async def test_the_application_on_two_nodes(own_redis: OwnRedis, tmp_path: Path) -> None:
    """Clients of both see and hear each other, and one can be disconnected from the other."""
    program = tmp_path / "app.py"
    program.write_text(blocks(PAGE, "python")[0] + SERVE)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "SECRET_KEY_BASE": secrets.token_urlsafe(48),
        "REDIS_URL": own_redis.url,
    }
    ports = [free_port(), free_port()]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(program), str(port), env=environment
        )
        for port in ports
    ]
    try:
        here, there = [f"http://127.0.0.1:{port}" for port in ports]
        ann = await opened(here, "ann")
        bob = await opened(there, "bob")
        names: set[str] = set()
        while names != {"ann", "bob"}:
            _, _, _, event, payload = await ann.recv()
            if event.startswith("presence_"):
                names |= (payload.get("joins") or payload).keys()
        await ann.send(["1", "2", "room:lobby", "new_msg", {"body": "hi"}])
        heard = await until(bob, "new_msg")
        async with aiohttp.ClientSession() as client:
            ready = await (await client.get(f"{there}/readyz")).json()
        await ann.send(["1", "3", "room:lobby", "kick", {"name": "bob"}])
        left = await until(ann, "presence_diff")
        for wire in (ann, bob):
            await wire.close()
    finally:
        for process in processes:
            process.terminate()
        async with asyncio.timeout(patient(20.0)):
            for process in processes:
                await process.wait()

    assert heard == {"from": "ann", "body": "hi"}
    assert ready == {"nodes": 2}
    assert (list(left["joins"]), list(left["leaves"])) == ([], ["bob"])


def test_the_options_of_a_bus() -> None:
    """Each option is in the table, with its default."""
    named = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", PAGE, re.MULTILINE))
    defaults = {
        name: option.default
        for name, option in inspect.signature(BrokerBus).parameters.items()
        if name not in {"broker", "inbox"}  # the inbox is the task server's
    }
    shown = {
        **{name: f"{value}" for name, value in defaults.items()},
        "prefix": f"`{defaults['prefix']}`",
        "name": "host and process id",
        "max_calls": f"{defaults['max_calls']:,}".replace(",", " "),
        "max_message_bytes": f"{defaults['max_message_bytes'] // 2**20} MiB",
    }

    assert named == shown
    assert named.keys() == BusOptions.__annotations__.keys()


def test_the_buses() -> None:
    """Each bus is in the table."""
    for bus in (RedisBus, NatsBus, PostgresBus):
        assert f'| `{bus.__name__}("' in PAGE
