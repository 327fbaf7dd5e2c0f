"""The control API of the fault server arms faults and returns records and verdicts."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from phoenix_compat.conformance.suite.wire_client import Opcode, encode_close
from tests.conftest import Dial
from tests.integration.conformance.fault_harness import (
    ASK,
    Connect,
    Post,
    arm,
    base_url,
    connect,
    ending,
    http,
    joined,
    upgrade,
)

__all__ = ["arm", "base_url", "connect", "http"]  # fixtures


async def test_armed_for_a_topic(connect: Connect, arm: Post) -> None:
    """A fault that is armed for a joined topic strikes at once, or at the next push."""
    wire = await joined(connect, "room:a")

    assert await arm({"topic": "room:a", "fault": "twice"}) == 201
    await wire.send(["1", "2", "room:a", "echo", {}])
    assert [(await wire.recv())[1] for _reply in range(2)] == ["2", "2"]
    assert await arm({"topic": "room:a", "fault": "crash", "after": "0s"}) == 201
    assert (await wire.recv())[3] == "phx_error"


async def test_armed_for_connections(
    connect: Connect, arm: Post, dial: Dial, base_url: str
) -> None:
    """Without a topic, a fault strikes every connection of the session, or the next ones."""
    wires = [await connect() for _connection in range(2)]

    await arm({"fault": "close:4001"})
    codes = [await ending(wire) for wire in wires]
    await arm({"fault": "refuse_upgrades", "value": 502, "times": 1})
    refused = await upgrade(dial, base_url)
    await arm({"fault": "close_at_once:1008:times=1"})

    assert codes == [4001, 4001]
    assert refused.status == 502
    assert await ending(await connect()) == 1008
    assert await arm({"fault": "ping"}) == 201


async def test_disarm(
    connect: Connect, arm: Post, base_url: str, http: aiohttp.ClientSession
) -> None:
    """Faults can be disarmed."""
    await arm({"fault": "refuse_upgrades"})
    await arm({"fault": "twice", "topic": "room:a"})

    await http.delete(f"{base_url}/control/faults", params={"client": "t"})

    async with http.get(f"{base_url}/control/faults") as answer:
        listed = await answer.json()
    assert listed["armed"] == []
    assert {"close", "drop", "flap"} <= {fault["name"] for fault in listed["faults"]}
    assert (await (await connect("room:a")).recv())[3] == "phx_reply"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"fault": "clsoe"}, "fault"),
        ({"fault": "close:1"}, "value"),
        ({"fault": "crash"}, "topic"),
        ({"fault": "refuse_upgrades", "topic": "room:a"}, "topic"),
        ({"fault": "drop", "topic": 7}, "topic"),
        ({"fault": "drop", "client": "a/b"}, "client"),
        ({"fault": "drop", "lane": ""}, "lane"),
        ([], "body"),
    ],
)
async def test_control_errors(
    base_url: str, http: aiohttp.ClientSession, document: Any, field: str
) -> None:
    """An invalid request is answered with a problem that names the field."""
    async with http.post(f"{base_url}/control/faults", json=document) as answer:
        assert (answer.status, answer.content_type) == (422, "application/problem+json")
        problem = await answer.json()

    assert problem["field"] == field
    assert problem["detail"]


async def test_the_record_has_everything(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """Attempts, messages, strikes, pings and closes are recorded in order."""
    wire = await joined(connect, "fault:ping:after=0s")
    await wire.recv_frame()
    await wire.client.send_frame(b"are you there?", Opcode.PONG)
    await wire.client.send_frame(b"x", Opcode.PING)
    assert (await wire.recv_frame()).opcode == Opcode.PONG
    await wire.client.send_bytes(encode_close(1000))
    assert await ending(wire) == 1000
    assert await wire.client.read_frame() is None

    async with http.get(f"{base_url}/control/record", params={"client": "t"}) as answer:
        record = await answer.json()

    assert [entry["kind"] for entry in record["entries"]] == [
        "attempt", "opened", "received", "sent", "sent", "struck", "pong", "ping",
        "client closed", "ended",
    ]  # fmt: skip
    assert record["lost"] == 0


async def test_unreadable_frames(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """An unreadable frame closes the connection with 1011, as in Phoenix, and fails the client."""
    wire = await joined(connect, "fault:none")
    await wire.send_text("{")
    assert await ending(wire) == 1011

    async with http.get(f"{base_url}/control/report.json", params={"client": "t"}) as answer:
        report = await answer.json()

    verdicts = {verdict["id"]: verdict for verdict in report["verdicts"]}
    assert verdicts["client/join/well_formed"]["outcome"] == "failed"
    assert not report["is_conformant"]
    assert report["counts"]["not seen"] == len(verdicts) - 1


async def test_an_app_reports_over_http(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """An app that cannot push reports over HTTP what it received."""
    wire = await connect("fault:broadcast")
    await wire.recv_many(2)

    body = {"client": "t", "payload": ASK}
    async with http.post(f"{base_url}/control/heard", json=body) as answer:
        status = answer.status

    async with http.get(f"{base_url}/control/report.json", params={"client": "t"}) as answer:
        verdicts = {v["id"]: v["outcome"] for v in (await answer.json())["verdicts"]}
    assert status == 204
    assert verdicts["client/events/broadcast"] == "passed"


async def test_scenarios_have_urls(base_url: str, http: aiohttp.ClientSession, dial: Dial) -> None:
    """Each scenario has its own URL, and its fault exists."""
    async with http.get(f"{base_url}/control/scenarios", params={"client": "mine"}) as answer:
        document = await answer.json()

    scenario = next(s for s in document["scenarios"] if s["id"] == "client/reconnect/drop")
    path = scenario["url"].removeprefix(base_url.replace("http", "ws"))
    assert (await upgrade(dial, base_url, f"{path}/websocket?vsn=2.0.0")).status == 101
    assert len({s["url"] for s in document["scenarios"]}) == len(document["scenarios"])
    assert all(s["fault"] and s["wants"] and s["why"] for s in document["scenarios"])
    assert document["app"]


async def test_the_page_is_self_contained(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """The report is one page, and text from a client is escaped."""
    wire = await joined(connect, "fault:none")
    await wire.send(["1", "2", "fault:none", "<script>alert(1)</script>", {}])
    await wire.recv()

    async with http.get(f"{base_url}/control/report.html", params={"client": "t"}) as answer:
        page = await answer.text()

    assert "client/join/well_formed" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "src=" not in page
    assert "href=" not in page


async def test_deleted_clients(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """A deleted client is disconnected, and its record is gone."""
    wire = await joined(connect, "room:a")

    await http.delete(f"{base_url}/control/record", params={"client": "t"})

    async with http.get(f"{base_url}/control/clients") as answer:
        assert await answer.json() == {}
    assert await ending(wire) is None


async def test_late_answers_are_bounded(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """A client with too many pending answers is reset, and the record says so."""
    wire = await joined(connect, "fault:late:60s")

    for _push in range(501):
        await wire.send(["1", "2", "fault:late:60s", "echo", {}])

    assert await ending(wire) is None
    assert "too many late answers" in await record_text(base_url, http)


async def test_slow_readers_are_reset(
    connect: Connect, base_url: str, http: aiohttp.ClientSession
) -> None:
    """A client that does not read is reset at the limit."""
    wire = await joined(connect, "room:a")
    frame = f'["1","2","room:a","echo",{{"text":"{"x" * 2_000_000}"}}]'

    async def push_without_reading() -> None:
        for _push in range(100):
            await wire.send_text(frame)

    with pytest.raises(ConnectionError):
        await push_without_reading()

    assert "client reads too slowly" in await record_text(base_url, http)


async def record_text(base_url: str, http: aiohttp.ClientSession) -> str:
    """The record of the client `t`, as JSON text."""
    async with http.get(f"{base_url}/control/record", params={"client": "t"}) as answer:
        return await answer.text()


async def test_names_of_clients_are_bounded(dial: Dial, base_url: str) -> None:
    """A client name with other characters is refused."""
    answer = await upgrade(dial, base_url, "/faults/a%20b/socket/websocket?vsn=2.0.0")

    assert answer.status == 400
    assert b"1 to 64 letters" in answer.body


@pytest.mark.parametrize("target", ["/control/faults", "/control/heard"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example:4001"}, 421),
    ],
)
async def test_a_page_from_elsewhere_controls_nothing(
    base_url: str, http: aiohttp.ClientSession, target: str, headers: dict[str, str], status: int
) -> None:
    """A cross-site request is refused with a problem document, and nothing is armed."""
    headers = {"Content-Type": "application/json"} | headers
    body = b'{"fault": "twice", "topic": "room:a", "payload": {}}'

    async with http.post(base_url + target, data=body, headers=headers) as refused:
        document = await refused.json(content_type="application/problem+json")

    async with http.get(f"{base_url}/control/faults") as answer:
        armed = (await answer.json())["armed"]
    assert (refused.status, document["status"], armed) == (status, status, [])


async def test_a_page_from_elsewhere_deletes_nothing(
    base_url: str, http: aiohttp.ClientSession
) -> None:
    """A cross-site DELETE is refused, and so is reading under a foreign host name."""
    origin, host = {"Origin": "http://evil.example"}, {"Host": "evil.example"}

    async with http.delete(f"{base_url}/control/record", headers=origin) as forgotten:
        pass
    async with http.get(f"{base_url}/control/record", headers=host) as read:
        text = await read.text()

    assert (forgotten.status, read.status) == (403, 421)
    assert "--allowed-host" in text
