"""What the console of one process shows of all processes of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phoenix_compat.server.control.client import send_command
from phoenix_compat.server.control.messages import SOCKET_NAME
from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.patience import patient
from tests.wire import V2, PhoenixWire

SERVE = ("server.py", "serve", "--port", "0", "--data-dir")
CONSOLE = "/console/socket/websocket?vsn=2.0.0"
GOING_AWAY = 1001


class Asker:
    """A client of the console that asks."""

    def __init__(self, wire: PhoenixWire) -> None:
        self._wire = wire
        self._ref = 0
        self._joins: dict[str, str] = {}

    async def ask(self, topic: str, event: str, payload: Any) -> Any:
        """The response to an event, which must be ok; `phx_join` joins the topic."""
        self._ref += 1
        ref = str(self._ref)
        if event == "phx_join":
            self._joins[topic] = ref
        await self._wire.send([self._joins[topic], ref, topic, event, payload])
        reply = await self._wire.recv()
        while reply[1] != ref:
            reply = await self._wire.recv()  # a snapshot
        assert reply[4]["status"] == "ok", reply
        return reply[4]["response"]


async def test_every_process_is_asked(tmp_path: Path) -> None:
    """Clients, topics, log lines and messages of either process; the provider from the leader."""
    async with multiprocess_server(*SERVE, str(tmp_path), data_dir=tmp_path) as processes:
        task_id = await processes.post(0)
        wires = [await processes.wire(node, V2) for node in (0, 1)]
        for wire in wires:
            await wire.send(["1", "1", f"task:{task_id}", "phx_join", {}])

        listed = await send_command(tmp_path / SOCKET_NAME, "sockets.list", {})
        ids = {each["id"].partition("-")[0]: each["id"] for each in listed["clients"]}
        assert (listed["connected"], listed["silent"], sorted(ids)) == (2, [], ["0", "1"])

        for node in (0, 1):
            asker = Asker(await processes.wire(node, CONSOLE))
            for name in ("sockets", "channels", "logs"):
                await asker.ask(f"admin:{name}", "phx_join", {})
            clients = await asker.ask("admin:sockets", "list", {"text": task_id})
            assert clients["found"] == 2
            topics = await asker.ask("admin:channels", "list", {"text": task_id})
            assert [(each["clients"], topics["found"]) for each in topics["topics"]] == [(2, 1)]
            logs = await asker.ask("admin:logs", "list", {"text": "CONNECTED TO UserSocket"})
            assert {line["node"] for line in logs["lines"]} == {0, 1}
            assert set(logs["after"]) == {"0", "1"}
            provider = await asker.ask("admin:provider", "phx_join", {})
            assert (provider["circuit"], provider["queued"]) == ("closed", 1)
            other = ids[str(1 - node)]
            frames = await asker.ask("admin:sockets", "frames", {"id": other})
            assert (frames["ended"], frames["is_checked"]) == (None, True)

        for node, wire in enumerate(wires):
            gone = await send_command(
                tmp_path / SOCKET_NAME, "sockets.disconnect", {"id": ids[str(node)]}
            )
            assert gone["clients"] == 1
            while (frame := await wire.recv_frame(patient(5.0))).opcode != 0x8:
                pass  # the messages of the task, before the close
            assert int.from_bytes(frame.payload[:2], "big") == GOING_AWAY
