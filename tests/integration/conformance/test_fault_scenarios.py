"""What real clients did wrong: for each scenario a right client passes and a wrong one fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from aiohttp import web

from phoenix_compat.conformance.faults.record_view import Outcome
from phoenix_compat.conformance.faults.server import add_fault_server
from tests.conftest import Dial, Serve
from tests.integration.conformance.scripted_client import ScriptedClient

Play = Callable[[str], ScriptedClient]
DO = "do"


@pytest.fixture
async def play(serve: Serve, dial: Dial) -> Play:
    """A scripted client for a scenario of a fault server."""
    app = web.Application()
    sessions = add_fault_server(app)
    base_url = await serve(app)
    numbers = itertools.count()
    return lambda name: ScriptedClient(dial, base_url, sessions, name, next(numbers))


async def test_a_close_with_1000(play: Play) -> None:
    """Coming back after 1000 passes; staying away fails."""
    client = await play("reconnect/close_1000").connect()
    assert await client.end() == 1000
    wrong = client.finding()

    await client.connect()

    assert wrong.reason.startswith("no new connection")
    assert client.finding().outcome == "passed"


@pytest.mark.parametrize("wait_s", [0.0, 0.1])
async def test_a_storm(play: Play, wait_s: float) -> None:
    """Waiting between connections that end after each join passes; coming back at once fails."""
    client = await play("reconnect/storm").connect()
    for _close in range(8):
        assert await client.end() == 1012
        await asyncio.sleep(wait_s)  # what the client does between attempts
        await client.connect()

    finding = client.finding()

    assert finding.outcome == ("passed" if wait_s else "failed"), finding
    assert ("hammers" in finding.reason) != bool(wait_s)


async def test_an_expired_token(play: Play) -> None:
    """A fresh token passes, as stopping does; the expired one again fails, after the count too."""
    client = await play("reconnect/fresh_token").connect("old")
    await client.end()
    refused = [await client.attempt("old")]
    stopped = client.finding()
    refused.append(await client.attempt("old"))
    kept = client.finding()

    for number in range(3):
        await asyncio.sleep(0.1)  # its backoff
        refused.append(await client.attempt(f"fresh{number}"))
    assert await client.attempt("old") == 403
    assert refused == [403] * 5
    assert stopped.reason == "stopped after 1 refusals"
    assert kept.reason == "tried 2 times with the expired token"


async def test_a_fresh_token(play: Play) -> None:
    """Attempts with tokens of their own are refused for a while, then accepted; none is kept."""
    client = await play("reconnect/fresh_token").connect("secret")
    await client.end()
    for number in range(5):
        assert await client.attempt(f"secret{number}") == 403
        await asyncio.sleep(0.1)  # its backoff
    await client.connect("secret5")

    finding = client.finding()

    assert finding.outcome == "passed"
    assert "came back with token 7" in finding.reason
    assert "secret" not in str([str(entry) for entry in finding.evidence])


async def test_no_token(play: Play) -> None:
    """Without a token there is nothing to judge."""
    client = await play("reconnect/fresh_token").connect()
    await client.end()

    assert client.finding().reason == "the app connected without a token"


@pytest.mark.parametrize("is_right", [True, False])
async def test_a_quick_rejoin(play: Play, is_right: bool) -> None:
    """The first join's phx_close comes after the second join's reply; a new join then fails."""
    client = await play("rejoin/quick").connect()
    await client.until(DO)
    await client.send("phx_leave")
    await client.join(client.topic)

    reply, closed, ask = await client.wire.recv_many(3)
    if is_right:
        await client.send("heard", ask[4])
    else:
        await client.join(client.topic)
    await client.until("phx_reply")

    assert (reply[:2], closed[:2], closed[3]) == (["3", "3"], ["1", "1"], "phx_close")
    assert (ask[3], ask[4]) == ("ask", {"n": 2})
    assert client.finding().outcome == ("passed" if is_right else "failed")


async def test_a_rejoin_that_waits(play: Play) -> None:
    """A client may also wait for the reply to its leave."""
    client = await play("rejoin/quick").connect()
    await client.until(DO)
    await client.send("phx_leave")
    await client.until("phx_close")
    await client.join(client.topic)
    await client.send("heard", (await client.until("ask"))[4])
    await client.until("phx_reply")

    assert client.finding().outcome == "passed"


async def test_a_leave_while_joining(play: Play) -> None:
    """Without phx_leave it fails, and so it does if it comes back; the answers are in order."""

    async def leave(client: ScriptedClient, *, leaves: bool, rejoins: bool) -> Outcome:
        await client.connect()
        await client.until(DO)
        await client.join(client.other)
        if leaves:
            await client.send("phx_leave", topic=client.other)
        await client.send("heard", {"done": "join_and_leave"})
        await client.until("phx_reply")
        answers = [(await client.until("phx_reply"))[1] for _answer in range(1 + leaves)]
        assert answers == ["2", "3"][: 1 + leaves]
        await client.end()
        await client.connect()
        if rejoins:
            await client.join(client.other)
            await client.until("phx_reply")
        return client.finding().outcome

    found = await asyncio.gather(
        leave(play("leave/while_joining"), leaves=True, rejoins=True),
        leave(play("leave/while_joining"), leaves=False, rejoins=False),
        leave(play("leave/stays_left"), leaves=True, rejoins=False),
        leave(play("leave/stays_left"), leaves=False, rejoins=False),
        leave(play("leave/stays_left"), leaves=True, rejoins=True),
    )

    assert list(found) == ["passed", "failed", "passed", "passed", "failed"]


async def test_a_leave_without_a_join(play: Play) -> None:
    """A client that sends neither the join nor the leave passes."""
    client = await play("leave/while_joining").connect()
    await client.until(DO)
    await client.send("heard", {"done": "join_and_leave"})
    await client.end()

    assert client.finding().reason == "neither a join nor a leave was sent"


@pytest.mark.parametrize("joins", [1, 2])
async def test_a_join_while_offline(play: Play, joins: int) -> None:
    """Two attempts are refused with 503; then one join passes, two on one connection fail."""
    client = await play("join/once").connect()
    assert (await client.until(DO))[4] == {"action": "join_when_lost", "topic": client.other}
    await client.send("heard", {"done": "join_when_lost"})
    await client.end()

    statuses = [await client.attempt() for _attempt in range(2)]
    await client.connect()
    for _join in range(joins):
        await client.join(client.other)
        await client.until("phx_reply")

    assert statuses == [503, 503]
    assert client.finding().outcome == ("passed" if joins == 1 else "failed")


async def test_a_push_that_expires(play: Play) -> None:
    """Notified and not sent passes; notified and sent, or neither, fails."""

    async def come_back(client: ScriptedClient, *, told: bool, sent: bool) -> Outcome:
        await client.connect()
        assert (await client.until(DO))[4] == {"action": "push_when_lost", "timeout_ms": 300}
        await client.send("heard", {"done": "push_when_lost"})
        await client.end()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.attempt()
        await asyncio.sleep(1.1)  # the time for which the server is gone
        await client.connect()
        if sent:
            await client.send("outdated")
        if told:
            await client.send("heard", {"expired": True})
        await client.send("echo")
        for _reply in range(1 + sent + told):
            await client.until("phx_reply")
        return client.finding().outcome

    found = await asyncio.gather(
        *(
            come_back(play("push/expired"), told=told, sent=sent)
            for told, sent in ((True, False), (True, True), (False, False), (False, True))
        )
    )

    assert found == ["passed", "failed", "failed", "not seen"]


async def test_an_app_in_the_background(play: Play) -> None:
    """The server has closed with 1002; one new connection passes, none or two fail."""

    async def come_back(client: ScriptedClient, connections: int) -> Outcome:
        await client.connect()
        assert (await client.until(DO))[4] == {"action": "suspend", "seconds": 2.0}
        assert await client.end() == 1002
        for _connection in range(connections):
            await client.connect()
            await client.send("heard", {"done": "suspend"})
            await client.until("phx_reply")
        return client.finding().outcome

    found = await asyncio.gather(
        *(come_back(play("heartbeat/background"), connections) for connections in (0, 1, 2))
    )

    assert found == ["failed", "passed", "failed"]


@pytest.mark.parametrize(
    "name",
    ["rejoin/quick", "leave/while_joining", "leave/stays_left", "join/once", "push/expired"],
)
async def test_an_app_that_ignores_the_request(play: Play, name: str) -> None:
    """An app that does not know the event `do` cannot be judged."""
    client = await play(name).connect()
    await client.until(DO)

    assert client.finding().outcome == "not seen"
