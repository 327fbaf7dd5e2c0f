"""The application of docs/workers.md for several processes, as it stands."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import blocks, page
from tests.integration.process.proxies import free_port
from tests.patience import patient
from tests.polling import Poller
from tests.wire import PhoenixWire

SERVE = """
import sys

web.run_app(build_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


async def test_the_application_in_two_processes() -> None:
    """E7: clients of both see each other, and a poll of one is answered by the other."""
    with tempfile.TemporaryDirectory(prefix="phx") as name:
        program = Path(name) / "app.py"
        program.write_text(blocks(page("workers.md"), "python")[0] + SERVE)
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SECRET_KEY_BASE": secrets.token_urlsafe(48),
            "TMPDIR": name,
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
            poller = await Poller.open(here)
            other = Poller(there)
            other.token = poller.token
            await other.send(["1", "1", "room:lobby", "phx_join", {}])
            names: set[str] = set()
            async with asyncio.timeout(patient(20.0)):
                while len(names) < 3:
                    for message in await other.recv_some():
                        if message[3] == "presence_state":
                            names |= message[4].keys()
            for wire in (ann, bob):
                await wire.close()
        finally:
            for process in processes:
                process.terminate()
            async with asyncio.timeout(patient(20.0)):
                for process in processes:
                    await process.wait()

    assert names == {"ann", "bob", "somebody"}


async def opened(url: str, name: str) -> PhoenixWire:
    """Join the lobby as this user, once the server listens."""
    async with asyncio.timeout(patient(30.0)):
        while True:
            try:
                wire = await PhoenixWire.open(url, f"/socket/websocket?vsn=2.0.0&name={name}")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                await wire.join("room:lobby")
                return wire
