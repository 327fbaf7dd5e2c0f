"""Channels across the processes of one server."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from phoenix_compat.conformance.suite.runner import load_suite, run_cases
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from tests.integration.multiprocess.multiprocess import REFERENCE, Company, company, gone
from tests.integration.operations.commands import finish, run
from tests.wire import V2, PhoenixWire

ROOM = "room:a"
CASES = [case for case in load_suite() if case.recorded_as and case.transport == "websocket"]
LP = "/socket/longpoll?vsn=2.0.0"


async def test_a_broadcast_reaches_the_clients_of_every_process_in_order() -> None:
    """From a channel, sparing its sender, and from outside: each is heard once on both."""
    async with company(*REFERENCE) as scene:
        here, there = await scene.wire(0), await scene.wire(1)
        for wire in (here, there):
            await wire.join(ROOM)

        for number in range(50):
            await here.send(["1", str(number), ROOM, "broadcast_from", {"n": number}])
        await scene.request(0, "POST", f"/broadcast/{ROOM}/msg?n=2", {"n": "outside"})

        heard = await there.recv_many(52)
        assert [message[3:] for message in heard] == [
            *(["msg", {"n": number}] for number in range(50)),
            *(["msg", {"n": "outside"}] for _ in range(2)),
        ]
        own = await here.recv_many(52)
        assert [message[4] for message in own if message[3] == "msg"] == [{"n": "outside"}] * 2
        await there.fence()
        await here.fence()


async def test_two_processes_answer_as_phoenix() -> None:
    """The recorded conversations, played on both processes at random, get the recorded answers."""
    async with company(*REFERENCE) as scene:
        results = await run_cases(CASES, scene.url, concurrency=32)

    assert [result.explain() for result in results if not result.passed] == []


async def test_a_disconnect_closes_a_users_sockets_in_every_process() -> None:
    """`disconnect` on a socket id ends all connections of that id, and no other."""
    async with company(*REFERENCE) as scene:
        ann = [await scene.wire(node, f"{V2}&user=ann") for node in (0, 1)]
        bob = await scene.wire(1, f"{V2}&user=bob")
        await ann[0].join(ROOM)

        await ann[0].send(["1", "2", ROOM, "disconnect_me", {}])

        assert [await wire.recv_close() for wire in reversed(ann)] == [1001, 1001]
        await bob.fence()


async def test_presences_are_one_and_those_of_a_killed_process_leave() -> None:
    """Each process lists all; after SIGKILL the others hear who left, and the next one is told."""
    async with company(*REFERENCE, size=3) as scene:
        ann = await scene.wire(0, f"{V2}&user=ann")
        await ann.join("presence:a")
        assert [message[3] for message in await ann.recv_many(2)] == [
            "presence_diff",
            "presence_state",
        ]
        bob = await scene.wire(1, f"{V2}&user=bob")
        await bob.join("presence:a")
        joined = (await ann.recv())[4]
        known = await known_presences(bob, {"ann", "bob"})
        assert set(known) == {"ann", "bob"}
        assert joined == {"joins": {"bob": known["bob"]}, "leaves": {}}

        await scene.kill(1)

        assert (await ann.recv())[4] == {"joins": {}, "leaves": joined["joins"]}
        for node in (1, 2):  # the one that was started anew, and one that lived on
            carl = await scene.wire(node, f"{V2}&user=carl{node}")
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
    """A long-poll session whose requests arrive where the test wants them."""

    def __init__(self, scene: Company) -> None:
        self.scene = scene
        self.token = ""

    async def ask(self, node: int, method: str = "GET", body: Any = None) -> Any:
        """A request that arrives at this process; what its answer says."""
        client = await self.scene.land(node)
        data = b"" if body is None else json.dumps(body).encode()
        target = f"{LP}&token={self.token}" if self.token else LP
        answer: HttpResponse = await client.request(method, target, (), data)
        assert answer.status == 200, answer
        assert answer.header("access-control-allow-origin") == "*"
        return json.loads(answer.body)


async def test_a_long_poll_session_is_reached_through_every_process() -> None:
    """Polls and messages find the session where it lives; when that died they are told 410."""
    async with company(*REFERENCE) as scene:
        session = Session(scene)
        opened = await session.ask(0)
        session.token = opened["token"]
        assert opened["status"] == 410

        assert await session.ask(1, "POST", ["1", "1", ROOM, "phx_join", {}]) == {"status": 200}
        answer = await session.ask(1)
        assert (answer["status"], answer["token"]) == (200, session.token)
        assert [json.loads(text)[3] for text in answer["messages"]] == ["phx_reply"]
        waiting = asyncio.create_task(session.ask(1))
        await session.ask(0, "POST", ["1", "2", ROOM, "broadcast", {"n": 1}])
        heard = (await waiting)["messages"]
        if len(heard) == 1:  # the poll was answered before the second came
            heard += (await session.ask(0))["messages"]
        assert [json.loads(text)[3] for text in heard] == ["msg", "phx_reply"]

        await scene.kill(0)

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
    async with company(*REFERENCE) as scene:
        wires = [await scene.wire(node) for node in (0, 1)]
        for wire in wires:
            await wire.join(ROOM)

        scene.process.send_signal(signal.SIGTERM)

        assert [await wire.recv_close() for wire in wires] == [1012, 1012]
        await scene.drop()
        finished = await finish(scene.process)
        assert (finished.code, finished.err) == (0, "")


async def test_workers_end_with_their_supervisor() -> None:
    """When the supervisor is killed no process stays behind, and the port is free."""
    async with company(*REFERENCE) as scene:
        pids = [await scene.pid(node) for node in (0, 1)]

        scene.process.kill()

        for pid in pids:
            await gone(pid)
        await finish(scene.process)


async def test_a_taken_port_is_a_clear_error() -> None:
    """A second server with workers does not share the port of the first."""
    async with company(*REFERENCE) as scene:
        port = scene.url.rpartition(":")[2]

        finished = await run(*REFERENCE[:-1], port, "--workers", "2")

    assert finished.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in finished.err
    assert "Traceback" not in finished.err
