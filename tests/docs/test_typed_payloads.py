"""The programs of docs/typed-payloads.md run, and what the page says about them is true."""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import Open, Serve
from tests.docs.pages import blocks, page
from tests.wire import replied

PAGE = page("typed-payloads.md")
APP, PRINT = blocks(PAGE, "python")


async def test_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, open_wire: Open
) -> None:
    """The first program refuses what does not fit, with the reply of the page."""
    monkeypatch.setattr(web, "run_app", lambda app, port: None)
    (tmp_path / "app.py").write_text(APP)
    names = runpy.run_path(str(tmp_path / "app.py"), run_name="__main__")
    wire = await open_wire(await serve(names["app"]))

    refused = await wire.ask(["1", "1", "room:1", "phx_join", {}])
    joined = await wire.ask(["2", "2", "room:1", "phx_join", {"name": "ann"}])
    invalid = await wire.ask(["2", "3", "room:1", "new_msg", {"body": 5}])
    await wire.send(["2", "4", "room:1", "new_msg", {"body": "hi"}])
    said, answered = await wire.recv_many(2)
    await wire.send_binary(b"\x00\x01\x01\x06\x07" + b"25room:1picture" + b"\xff\xd8")
    pictured = await wire.recv()

    assert refused[4]["response"]["field"] == "name"
    assert joined[4] == answered[4] == replied({})
    assert invalid[4] == {"status": "error", "response": json.loads(blocks(PAGE, "json")[0])}
    assert said == [None, None, "room:1", "new_msg", {"sender": "ann", "body": "hi"}]
    assert pictured == ["2", "5", "room:1", "phx_reply", replied({"size": 2})]


async def test_the_document(tmp_path: Path) -> None:
    """The second program prints the document of the first."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "describe.py").write_text(PRINT)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "describe.py"), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()

    printed: dict[str, Any] = json.loads(output)
    assert printed["asyncapi"] == "3.0.0"
    assert list(printed["operations"])[:4] == [
        "RoomChannel.join",
        "RoomChannel.event.new_msg",
        "RoomChannel.event.picture",
        "RoomChannel.push.new_msg",
    ]
    assert set(printed["components"]["schemas"]) >= {"JoinParams", "NewMsg", "Said"}
