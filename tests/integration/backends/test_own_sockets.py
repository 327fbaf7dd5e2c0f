"""Sockets of an own module beside the task server, with the example of the documentation."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.engine import check_settings
from tests.docs.pages import blocks, page
from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.integration.task_server import product, settings_for
from tests.patience import patient
from tests.wire import PhoenixWire

EXAMPLE: Final = blocks(page("other-backends.md"), "python")[0]
ROOT: Final = Path(__file__).parents[3]
TARGET: Final = "/chat/websocket?vsn=2.0.0&user="


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory, with the name of the test's folder."""
    name = f"app_{tmp_path.name}".replace("-", "_")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


async def event(wire: PhoenixWire, name: str) -> Any:
    """The payload of the next event with this name."""
    async with asyncio.timeout(patient(10.0)):
        while True:
            message = await wire.recv()
            if message[3] == name:
                return message[4]


async def test_the_example_works_at_every_process(tmp_path: Path) -> None:
    """Clients of two processes see each other, talk, and hear what a backend publishes."""
    (tmp_path / "my_app.py").write_text(EXAMPLE)
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    async with multiprocess_server(
        *("server.py", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")),
        PYTHONPATH=path,
        PHOENIX_COMPAT_CHANNELS_MODULE="my_app:sockets",
        PHOENIX_COMPAT_CHANNELS_PATH="/chat",
        PHOENIX_COMPAT_PUBLISH_TOPICS='["room:*"]',
    ) as processes:
        ann = await processes.wire(0, f"{TARGET}ann")
        await ann.join("room:lobby")
        assert list(await event(ann, "presence_state")) == ["ann"]
        bob = await processes.wire(1, f"{TARGET}bob")
        await bob.join("room:lobby")
        seen = await event(bob, "presence_state")
        while set(seen) != {"ann", "bob"}:
            seen |= (await event(bob, "presence_diff"))["joins"]

        await bob.send(["1", "9", "room:lobby", "new_msg", {"body": "hello"}])
        status, _ = await processes.request(
            1, "POST", "/api/broadcast", {"topic": "room:lobby", "event": "news", "payload": {}}
        )

        assert status == 200
        for wire in (ann, bob):
            assert await event(wire, "new_msg") == {"from": "bob", "body": "hello"}
            assert await event(wire, "news") == {}
            await wire.close()


async def test_a_dict_has_paths_of_its_own(tmp_path: Path, module: str) -> None:
    """Several sockets, each at its path, and the tasks beside them."""
    (tmp_path / f"{module}.py").write_text(
        EXAMPLE + "\nfrom phoenix_compat import Endpoint\n"
        'SOCKETS = {"/one": sockets(Endpoint()), "/two": sockets(Endpoint())}\n'
    )
    settings = settings_for(tmp_path / "data", channels_module=f"{module}:SOCKETS")
    await asyncio.to_thread(check_settings, settings)

    async with product(settings) as client:
        for path in ("/one", "/two"):
            wire = await PhoenixWire.open(client.url, f"{path}/websocket?vsn=2.0.0")
            await wire.fence()
            await wire.close()
        assert (await client.ended(await client.post()))["status"] == "completed"


WRONG: Final = {
    "nothing_like_it:UserSocket": "there is no module nothing_like_it; it is searched for in ",
    "{module}:Missing": "has no Missing; it has HereSocket",
    "{module}:number": "is 7, not a socket; name a class `class UserSocket(SocketHandler)`",
    "{module}:HereSocket": "HereSocket has no connect, so it would refuse every client",
    "{module}:TAKEN": "the path '/api/chat' is the task server's; choose another",
    "{module}_broken:UserSocket": "failed: ModuleNotFoundError: No module named 'not_installed' (",
    "{module}_wrong:UserSocket": "failed: SyntaxError: ",
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_be_served_is_said_at_the_start(
    tmp_path: Path, module: str, name: str
) -> None:
    """The error names the setting, what was found, and what to write instead."""
    (tmp_path / f"{module}.py").write_text(
        "from phoenix_compat import SocketHandler\n"
        "class HereSocket(SocketHandler):\n    pass\n"
        'number = 7\nTAKEN = {"/api/chat": HereSocket}\n'
    )
    (tmp_path / f"{module}_broken.py").write_text("import not_installed\n")
    (tmp_path / f"{module}_wrong.py").write_text("class\n")
    settings = settings_for(tmp_path / "data", channels_module=name.format(module=module))

    with pytest.raises(ConfigError) as refused:
        await asyncio.to_thread(check_settings, settings)

    assert str(refused.value).startswith("channels_module: ")
    assert WRONG[name] in str(refused.value)
