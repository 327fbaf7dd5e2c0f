"""Runs `conformance serve` and `conformance report` as processes."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp

from tests.integration.operations.commands import run, server

SERVE = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
REPORT = ("-m", "phoenix_compat", "conformance", "report")


async def test_a_client_is_judged(tmp_path: Path) -> None:
    """The verdicts on a client are printed as a table, as JSON and as a page."""
    page = tmp_path / "report.html"
    async with server(*SERVE) as (_, url), aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{url}/faults/mine/socket/websocket?vsn=2.0.0") as socket:
            await socket.send_json(["1", "1", "fault:drop", "phx_join", {}])
            async for _message in socket:
                pass

        text = await run(*REPORT, url, "--client", "mine", "--html", str(page))
        final = await run(*REPORT, url, "--client", "mine", "--final", "--json")

        elsewhere = await run(*REPORT, url, XDG_RUNTIME_DIR=str(tmp_path))
        unwritable = await run(*REPORT, url, "--html", str(tmp_path / "none" / "report.html"))

    assert text.code == 0
    assert "client/reconnect/drop" in text.out
    assert "1 waiting" in text.out
    assert "client/reconnect/drop" in page.read_text()
    assert final.code == 1
    assert elsewhere.code == 2
    assert f"{url} does not accept the control token; name the file" in elsewhere.err
    assert unwritable.code == 2
    assert "cannot write" in unwritable.err
    assert json.loads(final.out)["counts"]["failed"] == 1


async def test_no_fault_server() -> None:
    """Without a server at the address, the command fails with a clear error."""
    finished = await run(*REPORT, "http://127.0.0.1:9")

    assert finished.code == 2
    assert "no fault server answers at http://127.0.0.1:9" in finished.err
    assert "Traceback" not in finished.err
