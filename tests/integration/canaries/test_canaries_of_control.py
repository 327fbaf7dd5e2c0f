"""The tokens of control routes, and the credentials of clients, are found in no output."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.integration.canaries.canaries import canary, found
from tests.integration.operations.commands import finish, server

CONTROL: Final = canary("control").ljust(43, "C")
REFUSED: Final = canary("refused").ljust(43, "R")
OF_A_CLIENT: Final = canary("client").ljust(43, "L")
EMULATOR: Final = ("-m", "phoenix_compat.emulator")
CONFORMANCE: Final = ("-m", "phoenix_compat", "conformance", "serve")
EMULATOR_PATHS: Final = ("/__emu/state", "/__emu/faults", "/__emu/none")
CONFORMANCE_PATHS: Final = ("/control/report.html", "/control/scenarios", "/control/none")


@pytest.mark.parametrize(
    ("command", "paths", "client_path"),
    [
        (EMULATOR, EMULATOR_PATHS, "/v1/predictions"),
        (CONFORMANCE, CONFORMANCE_PATHS, "/faults/socket/websocket?vsn=2.0.0"),
        (
            (*CONFORMANCE, "--workers", "2"),
            ("/broadcast/room:a/new",),
            "/socket/websocket?vsn=2.0.0",
        ),
    ],
    ids=["emulator", "conformance", "conformance, two processes"],
)
async def test_a_server_tells_no_control_token(
    tmp_path: Path, command: tuple[str, ...], paths: tuple[str, ...], client_path: str
) -> None:
    """Whether it is accepted or refused, and wherever it stands: not in what it prints, nor in
    answers, reports and states."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    await asyncio.to_thread(file.write_text, CONTROL)
    options = ("--port", "0", "--control-token-file", str(file))
    answers, statuses = [], set()
    async with server(*command, *options) as (process, url), aiohttp.ClientSession() as http:
        bearer = {"Authorization": f"Bearer {OF_A_CLIENT}"}
        async with http.get(url + client_path, headers=bearer) as answer:
            answers.append(await answer.text())
        for path in paths:
            for token in (CONTROL, REFUSED):
                for headers, params in (
                    ({"X-Control-Token": token}, {}),
                    ({"Authorization": f"Bearer {token}"}, {}),
                    ({}, {"token": token}),
                ):
                    for method, body in (("GET", None), ("POST", {"name": "x"})):
                        async with http.request(
                            method, url + path, headers=headers, params=params, json=body
                        ) as answer:
                            statuses.add(answer.status)
                            answers.append(f"{answer.headers} {await answer.text()}")
        process.terminate()
        finished = await finish(process)

    assert 401 in statuses
    assert min(statuses) < 300
    assert found(CONTROL + REFUSED + OF_A_CLIENT) == {"control", "refused", "client"}
    assert found(finished.out + finished.err) == set()
    assert found("".join(answers)) == set()
