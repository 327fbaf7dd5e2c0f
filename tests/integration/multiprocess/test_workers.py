"""Channels across the processes of one server."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from phoenix_compat.conformance.suite.runner import load_suite, run_cases
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from phoenix_compat.control_token import control_headers
from tests.integration.multiprocess.multiprocess_harness import (
    REFERENCE,
    MultiprocessServer,
    gone,
    multiprocess_server,
)
from tests.integration.operations.commands import finish, run
from tests.wire import V2, PhoenixWire

ROOM = "room:a"
CASES = [case for case in load_suite() if case.recorded_as and case.transport == "websocket"]
LP = "/socket/longpoll?vsn=2.0.0"


async def test_a_broadcast_reaches_the_clients_of_every_process_in_order() -> None:
    """Messages from a channel (not to their sender) and from HTTP arrive once in both processes."""
    async with multiprocess_server(*REFERENCE) as processes:
        local, remote = await processes.wire(0), await processes.wire(1)
        for wire in (local, remote):
            await wire.join(ROOM)

        for number in range(50):
            await local.send(["1", str(number), ROOM, "broadcast_from", {"n": number}])
        headers = await asyncio.to_thread(control_headers, processes.url, "conformance", None)
        target = f"/broadcast/{ROOM}/msg?n=2"
        await processes.request(0, "POST", target, {"n": "outside"}, **headers)

        received = await remote.recv_many(52)
        assert [message[3:] for message in received] == [
            *(["msg", {"n": number}] for number in range(50)),
            *(["msg", {"n": "outside"}] for _ in range(2)),
        ]
        own = await local.recv_many(52)
        assert [message[4] for message in own if message[3] == "msg"] == [{"n": "outside"}] * 2
        await remote.fence()
        await local.fence()


async def test_two_processes_answer_as_phoenix() -> None:
    """The recorded conversations, run on both processes at random, get the recorded replies."""
    async with multiprocess_server(*REFERENCE) as processes:
        results = await run_cases(CASES, processes.url, concurrency=32)

    assert [result.explain() for result in results if not result.passed] == []


async def test_a_disconnect_closes_a_users_sockets_in_every_process() -> None:
    """`disconnect` on a socket id ends all connections of that id, and no other."""
    async with multiprocess_server(*REFERENCE) as processes:
        ann = [await processes.wire(node, f"{V2}&user=ann") for node in (0, 1)]
        bob = await processes.wire(1, f"{V2}&user=bob")
        await ann[0].join(ROOM)

        await ann[0].send(["1", "2", ROOM, "disconnect_me", {}])

        assert [await wire.recv_close() for wire in reversed(ann)] == [1001, 1001]
        await bob.fence()


async def test_presence_covers_all_processes_and_a_killed_one_leaves() -> None:
    """Each process lists all clients; after a SIGKILL the others see the lost clients leave."""
    async with multiprocess_server(*REFERENCE, size=3) as processes:
        ann = await processes.wire(0, f"{V2}&user=ann")
        await ann.join("presence:a")
        assert [message[3] for message in await ann.recv_many(2)] == [
            "presence_diff",
            "presence_state",
        ]
        bob = await processes.wire(1, f"{V2}&user=bob")
        await bob.join("presence:a")
        joined = (await ann.recv())[4]
        known = await known_presences(bob, {"ann", "bob"})
        assert set(known) == {"ann", "bob"}
        assert joined == {"joins": {"bob": known["bob"]}, "leaves": {}}

        await processes.kill(1)

        assert (await ann.recv())[4] == {"joins": {}, "leaves": joined["joins"]}
        for node in (1, 2):  # the restarted process, and one that kept running
            carl = await processes.wire(node, f"{V2}&user=carl{node}")
            await carl.join("presence:a")
            heard = await carl.recv()
            while heard[3] != "presence_state":  # behind diffs, of their own join and of others
                heard = await carl.recv()
            assert "ann" in heard[4]
            assert "bob" not in heard[4]


async def known_presences(wire: PhoenixWire, wanted: set[str]) -> dict[str, Any]:
    """What a client knows from state and diffs, once it knows all of these.

    A process hears what another tracked when the other has sent it: soon, and not at once.
    """
    known: dict[str, Any] = {}
    while not wanted <= known.keys():
        _, _, _, event, payload = await wire.recv()
        if event == "presence_state":
            known = payload
        else:
            assert event == "presence_diff"
            assert payload["leaves"] == {}
            known |= payload["joins"]
    return known


class Session:
    """A long-poll session that sends each request to a chosen process."""

    def __init__(self, processes: MultiprocessServer) -> None:
        self.processes = processes
        self.token = ""

    async def ask(self, node: int, method: str = "GET", body: Any = None) -> Any:
        """Send a request to this process; returns the JSON of the response."""
        client = await self.processes.connect(node)
        data = b"" if body is None else json.dumps(body).encode()
        target = f"{LP}&token={self.token}" if self.token else LP
        answer: HttpResponse = await client.request(method, target, (), data)
        assert answer.status == 200, answer
        assert answer.header("access-control-allow-origin") == "*"
        return json.loads(answer.body)


async def test_a_long_poll_session_is_reached_through_every_process() -> None:
    """Polls and messages reach the session in its process; after that process dies they get 410."""
    async with multiprocess_server(*REFERENCE) as processes:
        session = Session(processes)
        opened = await session.ask(0)
        session.token = opened["token"]
        assert opened["status"] == 410

        assert await session.ask(1, "POST", ["1", "1", ROOM, "phx_join", {}]) == {"status": 200}
        answer = await session.ask(1)
        assert (answer["status"], answer["token"]) == (200, session.token)
        assert [json.loads(text)[3] for text in answer["messages"]] == ["phx_reply"]
        waiting = asyncio.create_task(session.ask(1))
        await session.ask(0, "POST", ["1", "2", ROOM, "broadcast", {"n": 1}])
        received = (await waiting)["messages"]
        if len(received) == 1:  # the poll was answered before the second message came
            received += (await session.ask(0))["messages"]
        assert [json.loads(text)[3] for text in received] == ["msg", "phx_reply"]

        await processes.kill(0)

        assert await session.ask(1, "POST", ["1", "3", ROOM, "echo", {}]) == {"status": 410}
        again = await session.ask(1)
        assert again["status"] == 410
        assert again["token"] != session.token
        session.token = again["token"]
        assert (await session.ask(0, "POST", [None, "4", "phoenix", "heartbeat", {}])) == {
            "status": 200
        }


async def test_sigterm_drains_every_process() -> None:
    """Clients with joined channels are closed with 1012 wherever they are; the exit code is 0."""
    async with multiprocess_server(*REFERENCE) as processes:
        wires = [await processes.wire(node) for node in (0, 1)]
        for wire in wires:
            await wire.join(ROOM)

        processes.process.send_signal(signal.SIGTERM)

        assert [await wire.recv_close() for wire in wires] == [1012, 1012]
        await processes.close_clients()
        finished = await finish(processes.process)
        assert (finished.code, finished.err) == (0, "")


async def test_workers_end_with_their_supervisor() -> None:
    """When the supervisor is killed, all its worker processes end too."""
    async with multiprocess_server(*REFERENCE) as processes:
        pids = [await processes.pid(node) for node in (0, 1)]

        processes.process.kill()

        for pid in pids:
            await gone(pid)
        await finish(processes.process)


async def test_a_taken_port_is_a_clear_error() -> None:
    """A second server with workers cannot share the port of the first."""
    async with multiprocess_server(*REFERENCE) as processes:
        port = processes.url.rpartition(":")[2]

        finished = await run(*REFERENCE[:-1], port, "--workers", "2")

    assert finished.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in finished.err
    assert "Traceback" not in finished.err
