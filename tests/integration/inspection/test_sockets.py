"""The clients of a running server, listed and disconnected over the control socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.control.client import send_command
from phoenix_compat.server.control.messages import SOCKET_NAME, ControlError
from tests.integration.task_server import product, settings_for
from tests.patience import patient
from tests.wire import V1, PhoenixWire

GOING_AWAY = 1001


async def listed(folder: Path, **query: Any) -> Any:
    """The answer to `sockets.list`."""
    return await send_command(folder / SOCKET_NAME, "sockets.list", query)


async def test_websockets_and_polls_are_listed(tmp_path: Path) -> None:
    """Both transports and both versions are shown with their topics; one is disconnected."""
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post()
        first = await PhoenixWire.open(client.url)
        await first.join(f"task:{task_id}")
        second = await PhoenixWire.open(client.url, V1)
        status, polled = await client.request("GET", "/socket/longpoll?vsn=2.0.0")
        assert (status, polled["status"]) == (200, 410)

        page = await listed(tmp_path, order="oldest")

        shown = [(each["transport"], each["vsn"], each["topics"]) for each in page["clients"]]
        assert shown == [
            ("websocket", "2.0.0", [f"task:{task_id}"]),
            ("websocket", "1.0.0", []),
            ("longpoll", "2.0.0", []),
        ]
        assert [each["owner"] for each in page["clients"]] == ["", "", ""]
        path = tmp_path / SOCKET_NAME
        gone = await send_command(path, "sockets.disconnect", {"id": page["clients"][1]["id"]})
        assert gone["clients"] == 1
        assert await second.recv_close(patient(5.0)) == GOING_AWAY
        assert (await listed(tmp_path, text=task_id))["found"] == 1
        with pytest.raises(ControlError, match="either the id of a client or an owner"):
            await send_command(path, "sockets.disconnect", {})
        with pytest.raises(ControlError, match="limit must be 1 to 200"):
            await listed(tmp_path, limit=1_000)
        for wire in (first, second):
            await wire.close()
