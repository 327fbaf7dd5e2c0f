"""nginx in front of the nodes, with the file that is shipped for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.server_process import free_port
from tests.integration.operations.commands import ROOT
from tests.patience import patient
from tests.services.programs import program

_SHIPPED: Final = ROOT / "packaging/compose/nginx.conf"
_START_S: Final = 10.0

_AROUND: Final = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{shipped}
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy, at `url`."""

    url: str


@asynccontextmanager
async def open_proxy(folder: Path, ports: Sequence[int]) -> AsyncIterator[Proxy]:
    """A proxy for the nodes on these ports, while the block runs."""
    port = free_port()
    path = folder / "nginx.conf"
    path.write_text(_AROUND.format(folder=folder, shipped=_changed(port, ports)))
    process = await asyncio.create_subprocess_exec(
        program("nginx", "nginx-light", ["/usr/sbin"]),
        *("-c", str(path), "-p", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(patient(_START_S)):
            while not await _listens(port):
                assert process.returncode is None, (folder / "nginx.log").read_text()
                await asyncio.sleep(0.02)
        yield Proxy(f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _changed(port: int, ports: Sequence[int]) -> str:
    """The shipped file with these addresses."""
    shipped = _SHIPPED.read_text()
    servers = re.findall(r"^ +server node\d:4000 (.*);\n", shipped, re.MULTILINE)
    lines = "".join(f"    server 127.0.0.1:{one} {servers[0]};\n" for one in ports)
    shipped = re.sub(r"(?:^ +server node\d:4000 .*;\n)+", lines, shipped, flags=re.MULTILINE)
    return shipped.replace("listen 80;", f"listen 127.0.0.1:{port};")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
