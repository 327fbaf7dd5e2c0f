"""The examples of docs/client.md run, and its tables are true."""

from __future__ import annotations

import asyncio
import re
import runpy
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.client import ClientCounters, ClientLimits
from phoenix_compat.client.options import RECONNECT_AFTER_S, REJOIN_AFTER_S
from tests.docs.pages import blocks, page, rows
from tests.integration.client.waiting import until
from tests.interop.test_faults import JS_WRONG
from tests.interop.verdicts import table
from tests.patience import patient

TEXT = page("client.md")
FIRST, TALK, LISTEN, WATCH, WHO_AM_I, CROWD = blocks(TEXT, "python")


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str, str], Any]:
    """Loads an example, and returns one of its functions."""

    def load(code: str, name: str) -> Any:
        (tmp_path / "example.py").write_text(code)
        return runpy.run_path(str(tmp_path / "example.py"))[name]

    return load


async def test_the_first_program(reference_url: str, tmp_path: Path) -> None:
    """As it is, except for the port, it prints the broadcast."""
    url = reference_url.replace("http", "ws", 1)
    (tmp_path / "first.py").write_text(FIRST.replace("ws://localhost:4000", url))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(tmp_path / "first.py")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    async with asyncio.timeout(patient(20.0)):
        out, err = await process.communicate()

    assert (out.decode(), err.decode()) == ("msg {'body': 'hello'}\n", "")


async def test_joins_and_pushes(reference_url: str, example: Callable[[str, str], Any]) -> None:
    """The function returns the responses."""
    talk = example(TALK, "talk")

    assert await talk(f"{reference_url}/socket") == ({"joined": "room:lobby"}, {"n": 1})


async def test_messages(reference_url: str, example: Callable[[str, str], Any]) -> None:
    """The generator yields what comes."""
    listen = example(LISTEN, "listen")

    messages = listen(f"{reference_url}/socket", "task:7")
    event, payload = await anext(messages)
    await messages.aclose()

    assert (event, payload["task_id"]) == ("progress", "7")


async def test_presence(reference_url: str, example: Callable[[str, str], Any]) -> None:
    """The callback gets the keys."""
    seen: list[list[str]] = []

    watching = asyncio.create_task(example(WATCH, "watch")(f"{reference_url}/socket", seen.append))
    await until(lambda: bool(seen))
    watching.cancel()
    await asyncio.wait([watching])

    assert seen[0] == ["ann"]


async def test_credentials(reference_url: str, example: Callable[[str, str], Any]) -> None:
    """The server gets both."""
    seen = await example(WHO_AM_I, "who_am_i")(f"{reference_url}/extra")

    assert (seen["auth_token"], seen["params"]["user"]) == ("a-token-of-now", "ann")


async def test_many_clients(reference_url: str, example: Callable[[str, str], Any]) -> None:
    """All connect."""
    assert await example(CROWD, "crowd")(f"{reference_url}/socket", 20) == 20


def test_the_table_of_limits() -> None:
    """It has every limit, with its default, and names counters that exist."""
    units = {"MiB": 2**20}
    found: dict[str, int] = {}
    counters: set[str] = set()
    header = "| limit | default | what happens beyond it | counter |"
    for names, defaults, _policy, counted in rows(TEXT, header):
        values = [one.strip() for one in defaults.split(",")]
        for name, value in zip(re.findall(r"`(\w+)`", names), values, strict=True):
            number, _, unit = value.rpartition(" ") if value.endswith("MiB") else (value, "", "")
            found[name] = int(number.replace(" ", "")) * units.get(unit, 1)
        counters |= set(re.findall(r"`(\w+)`", counted))

    assert found == {one.name: one.default for one in fields(ClientLimits)}
    assert counters <= {one.name for one in fields(ClientCounters)}


def test_the_table_of_waits() -> None:
    """It has the defaults."""
    waits = ", ".join(str(round(1000 * one)) for one in RECONNECT_AFTER_S[:-1])
    rejoins = ", ".join(f"{one:g}" for one in REJOIN_AFTER_S[:-1])

    assert f"{waits}, then {1000 * RECONNECT_AFTER_S[-1]:g} ms" in TEXT
    assert f"{rejoins}, then {REJOIN_AFTER_S[-1]:g} s" in TEXT


def test_the_verdicts() -> None:
    """They are those that the tests of both clients expect (tests/interop/test_faults.py)."""
    assert table(JS_WRONG, {}) in TEXT
