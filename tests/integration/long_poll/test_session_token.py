"""Long-polling: the token of a session, where it is read, and invalid tokens.

Numbers are those of docs/protocol.md, §5.2 and §9.4 for the most part.
"""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from phoenix_compat import Endpoint, LongPollOptions, Tokens, mount
from phoenix_compat.conformance.reference import RoomChannel
from phoenix_compat.conformance.suite.cases import compact_json
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.polling import BEAT, LP_V1, LP_V2, NDJSON, HeaderPoller, Poller, longpoll_app, rooms_app
from tests.serving import accepting

HEADER = "x-phoenix-longpoll-token"
SECRET = "a secret of at least twenty bytes"


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_s(self, seconds: float) -> None:
        """Advance the clock."""
        self.now_ms += int(seconds * 1000)


async def test_the_token_may_be_in_a_header(serve: Serve) -> None:
    """B15: §5.2, §9.4.64: then no query token is needed, for POST and GET."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    assert client.token is not None
    headers = {HEADER: client.token}

    posted = await client.request(
        "POST", compact_json(BEAT).encode(), {**headers, "Content-Type": NDJSON}, token=None
    )
    polled = await client.get(headers, token=None)

    assert posted.json == {"status": 200}
    assert polled.json["status"] == 200
    assert polled.json["token"] == client.token


async def test_a_client_of_phoenix_1_9(serve: Serve) -> None:
    """B15: §7.6: its token goes in a header only, and the URL never changes."""
    client = await HeaderPoller.open(await serve(rooms_app(RoomChannel)))

    await client.join("room:a")
    reply = await client.ask(["1", "2", "room:a", "echo", {"n": 1}])
    await client.send(["1", "3", "room:a", "push", {"n": 2}], ["1", "4", "room:a", "phx_leave", {}])
    rest = await client.recv_many(3)
    client.token = f"{client.token}x"
    gone, fresh = await client.publish(BEAT), await client.poll()

    assert reply == ["1", "2", "room:a", "phx_reply", {"response": {"n": 1}, "status": "ok"}]
    assert [message[3] for message in rest] == ["msg", "phx_reply", "phx_close"]
    assert (gone, fresh["status"]) == ({"status": 410}, 410)


async def test_the_header_wins_over_the_query(serve: Serve) -> None:
    """§5.2, §9.4.65: an invalid query token is ignored if the header is valid."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    assert client.token is not None
    await client.send(BEAT)

    polled = await client.get({HEADER: client.token}, token="bogus")

    assert polled.json["status"] == 200


async def test_a_bogus_header_wins_over_the_query_too(serve: Serve) -> None:
    """§5.2: the query is not read if there is a header."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))

    polled = await client.get({HEADER: "bogus"})

    assert polled.json["status"] == 410
    assert polled.json["token"] != client.token
    await client.fence()


async def test_the_token_of_a_session_never_changes(serve: Serve) -> None:
    """§5.2: it is repeated in each response, and valid in a URL."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))

    for _time in range(3):
        await client.fence()

    assert client.token is not None
    assert set(client.token) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )
    assert client.token.startswith("SFMyNTY.")


def tampered(token: str) -> list[str]:
    """Tokens that differ slightly from this one."""
    head, payload, signature = token.split(".")
    other = "A" if payload[10] != "A" else "B"
    return [
        f"{head}.{payload[:10]}{other}{payload[11:]}.{signature}",
        f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        f"{head}.{payload}",
        f"{head}.{payload}.",
        token[:-1],
        token + "A",
        "",
        "x" * 224,
    ]


@pytest.mark.parametrize("number", range(8))
async def test_a_tampered_token(serve: Serve, number: int) -> None:
    """§5.2, §5.3, §10.62-63: a GET creates a new session, a POST gets 410."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    assert client.token is not None
    token = tampered(client.token)[number]

    posted = await client.request("POST", compact_json(BEAT).encode(), None, f"{token}&")
    polled = await client.request("GET", None, None, f"{token}&")

    assert posted.json == {"status": 410}
    assert polled.json["status"] == 410
    assert polled.json["token"] not in {token, client.token}
    await client.fence()


@pytest.mark.parametrize("query", ["token[]=T", "token[a]=T"])
async def test_a_token_that_is_not_a_string(serve: Serve, query: str) -> None:
    """§5.2: it counts as missing."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    assert client.token is not None
    nested = Poller(client.url.removesuffix(LP_V2), f"{LP_V2}&{query.replace('T', client.token)}")

    posted, polled = await nested.post(compact_json(BEAT)), await nested.get()

    assert posted.json == {"status": 410}
    assert (polled.json["status"], polled.json["messages"]) == (410, [])


async def test_a_token_expires(serve: Serve) -> None:
    """§1.2, §5.2: after its age the session is unreachable; two weeks by default."""
    clock, endpoint = Clock(), Endpoint()
    endpoint.tokens = Tokens(SECRET, now_ms=clock)
    client = await Poller.open(await serve(rooms_app(OpenChannel, endpoint=endpoint)))
    clock.pass_s(1_209_600 - 1)
    await client.fence()

    clock.pass_s(2)

    assert await client.publish(BEAT) == {"status": 410}
    fresh = await client.poll()
    assert (fresh["status"], fresh["messages"]) == (410, [])
    assert fresh["token"] != client.token


async def test_the_age_of_tokens_can_be_set(serve: Serve) -> None:
    """§1.2: `token_max_age_s` is Phoenix's `crypto: [max_age: …]`."""
    clock, endpoint = Clock(), Endpoint()
    endpoint.tokens = Tokens(SECRET, now_ms=clock)
    options = LongPollOptions(token_max_age_s=60)
    client = await Poller.open(await serve(rooms_app(OpenChannel, options, endpoint=endpoint)))

    clock.pass_s(61)

    assert await client.publish(BEAT) == {"status": 410}


@pytest.mark.parametrize("data", ["", "phx:lp:nobody", 7, None, {"a": 1}, b"\xff"])
async def test_a_signed_token_that_names_no_session(serve: Serve, data: Any) -> None:
    """§5.3: signed with this server's secret, but without a session: 410 and a new one."""
    endpoint = Endpoint(secret_key_base=SECRET)
    client = Poller(await serve(rooms_app(OpenChannel, endpoint=endpoint)))

    for salt in ("phx:lp", "user socket"):
        token = endpoint.tokens.sign(salt, data)
        posted, polled = (
            await client.post(compact_json(BEAT), token=token),
            await client.get(token=token),
        )

        assert posted.json == {"status": 410}
        assert polled.json["status"] == 410


async def test_a_token_of_the_same_secret_on_another_server(serve: Serve) -> None:
    """§9.3 "mode pubsub", §5.3: one node does not have the sessions of another: 410."""
    here = await Poller.open(
        await serve(rooms_app(OpenChannel, endpoint=Endpoint(secret_key_base=SECRET)))
    )
    there = Poller(await serve(rooms_app(OpenChannel, endpoint=Endpoint(secret_key_base=SECRET))))

    polled = await there.get(token=here.token)

    assert polled.json["status"] == 410
    assert polled.json["token"] != here.token


async def test_a_token_is_valid_on_a_sibling_path(serve: Serve) -> None:
    """§5.2, §9.13.215: it names a session of the endpoint, on any path."""
    endpoint = Endpoint()
    for path in ("/socket", "/other"):
        endpoint.socket(path, accepting({"room:*": OpenChannel}), longpoll=True)
    app = web.Application()
    mount(app, endpoint)
    base_url = await serve(app)
    client = await Poller.open(base_url)
    await client.join()

    client.url = f"{base_url}/other/longpoll?vsn=1.0.0"

    assert (await client.ask(["1", "2", "room:a", "echo", {}]))[:2] == ["1", "2"]


async def test_sessions_are_separate(serve: Serve) -> None:
    """§5.2: each token polls only its own session, and versions are separate."""
    base_url = await serve(longpoll_app(accepting({"room:*": OpenChannel})))
    new, old = await Poller.open(base_url), await Poller.open(base_url, LP_V1)
    await new.join()

    await old.post('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}', "")

    assert (await old.recv())["topic"] == "phoenix"
    await new.fence()
