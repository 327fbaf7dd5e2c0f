"""Credentials at HTTP, at the handshake and at the creation of a long-poll session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from phoenix_compat.server.auth.keys.api_keys import ApiKey
from phoenix_compat.server.auth.principal import Scope
from tests.integration.auth.auth_harness import (
    BACKEND,
    GOOD,
    KEY,
    READER,
    bearer,
    create,
    created_task,
    handshake,
    join,
    long_poll,
    phoenix_token,
    server,
    some_keys,
    subprotocols,
    target,
)
from tests.unit.server.auth.jwt_builder import token
from tests.wire import PhoenixWire

BAD: Mapping[str, Callable[[], str | None]] = {
    "none": lambda: None,
    "unknown key": lambda: "pck_unknown",
    "expired": lambda: token(exp=1_000),
    "other salt": lambda: phoenix_token(salt="other"),
    "garbage": lambda: "garbage",
}
PATHS = [
    ("POST", "/api/tasks"),
    ("GET", "/api/tasks"),
    ("GET", "/api/tasks/x"),
    ("GET", "/api/tasks/x/events"),
    ("POST", "/api/tasks/x/cancel"),
    ("POST", "/api/tasks/x/retry"),
    ("GET", "/api/nothing"),
    ("DELETE", "/api/tasks"),
]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server that takes keys, JWTs and Phoenix.Tokens, and two more places for them."""
    async with server(tmp_path, token_params=("userToken",), token_headers=("X-API-Key",)) as one:
        yield one


def problem(answer: HttpResponse) -> dict[str, Any]:
    """The document of a refusal."""
    assert (answer.header("content-type") or "").startswith("application/problem+json")
    return dict(json.loads(answer.body))


# Good credentials, in every place.


@pytest.mark.parametrize("kind", GOOD)
async def test_a_good_credential_opens_every_door(url: str, kind: str) -> None:
    """The Swift flow: a token in the socket's params and as Bearer in the POST."""
    credential = GOOD[kind]()

    task_id = await created_task(url, bearer(credential))
    wire = await PhoenixWire.open(url, target(token=credential))
    reply = await join(wire, task_id)
    session = await long_poll(url, target("longpoll", token=credential))
    await wire.close()

    assert reply["status"] == "ok"
    assert session["status"] == 410


@pytest.mark.parametrize(
    "header",
    [
        *(("authorization", f"bearer {KEY}"), ("X-API-Key", KEY), ("x-api-key", f"Bearer {KEY}")),
        ("X-Phoenix-AuthToken", KEY),
    ],
    ids=" ".join,
)
async def test_headers_at_every_door(url: str, header: tuple[str, str]) -> None:
    """Of requests, handshakes and long-poll sessions."""
    assert (await create(url, header)).status == 202
    assert await handshake(url, target(), header) == 101
    assert (await long_poll(url, target("longpoll"), header))["status"] == 410


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_params_and_subprotocols(url: str, vsn: str) -> None:
    """A further name of the settings, and what phoenix.js sends with `authToken`."""
    assert await handshake(url, target(vsn=vsn, userToken=KEY)) == 101
    assert await handshake(url, target(vsn=vsn), subprotocols(KEY)) == 101
    assert await handshake(url, target(vsn=vsn), subprotocols("pck_unknown")) == 403


async def test_a_session_needs_its_credential_only_once(url: str) -> None:
    """Later polls carry the token of the session."""
    opened = await long_poll(url, target("longpoll", token=phoenix_token()))

    again = await exchange(
        url,
        "POST",
        target("longpoll", token=opened["token"]),
        body=b'["1","1","task:x","phx_join",{}]',
    )
    polled = await long_poll(url, target("longpoll", token=opened["token"]))

    assert json.loads(again.body)["status"] == 200
    assert json.loads(polled["messages"][0])[4]["response"] == {"reason": "not found"}


# Bad credentials, at every door.


@pytest.mark.parametrize("name", BAD)
async def test_bad_credentials_open_no_door(url: str, name: str) -> None:
    """401 with a challenge for requests, 403 for sockets."""
    credential = BAD[name]()
    headers = [] if credential is None else [("Authorization", f"Bearer {credential}")]
    params = {} if credential is None else {"token": credential}

    refused = [await exchange(url, method, path, headers) for method, path in PATHS]
    socket = [await handshake(url, target(vsn=vsn, **params)) for vsn in ("1.0.0", "2.0.0")]
    socket += [await handshake(url, target(), *headers)]
    session = await long_poll(url, target("longpoll", **params))

    assert {answer.status for answer in refused} == {401}
    assert {answer.header("www-authenticate") for answer in refused} == {"Bearer"}
    assert problem(refused[0])["type"].endswith(":unauthorized")
    assert credential is None or credential not in refused[0].body.decode()
    assert socket == [403] * 3
    assert session == {"status": 403}


async def test_cookies_are_never_taken(url: str) -> None:
    """A browser sends them along with other sites' requests."""
    cookie = ("Cookie", f"token={KEY}; Authorization=Bearer {KEY}")

    assert (await create(url, cookie)).status == 401
    assert await handshake(url, target(), cookie) == 403


async def test_different_credentials_are_refused(url: str) -> None:
    """Nothing says which one was meant; the same one twice is fine."""
    two = (bearer(KEY), ("X-API-Key", READER))

    assert problem(await create(url, *two))["detail"].count("different credentials") == 1
    assert await handshake(url, target(token=READER), bearer(KEY)) == 403
    assert await handshake(url, target(token=KEY), bearer(KEY)) == 101
    assert (await create(url, bearer(KEY), ("X-API-Key", KEY))).status == 202


@pytest.mark.parametrize("query", ["token[]=pck_app", "token[a]=pck_app", "userToken[]=x"])
async def test_a_param_that_is_not_a_text(url: str, query: str) -> None:
    """It is refused."""
    assert await handshake(url, f"/socket/websocket?vsn=2.0.0&{query}") == 403


async def test_a_revoked_key(tmp_path: Path) -> None:
    """It is refused from then on, by whatever door."""
    keys = some_keys()
    async with server(tmp_path, keys) as url:
        assert (await create(url, bearer(KEY))).status == 202
        del keys.keys[KEY]

        assert (await create(url, bearer(KEY))).status == 401
        assert await handshake(url, target(token=KEY)) == 403


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_pages_without_authentication(url: str, path: str) -> None:
    """They show no tasks."""
    assert (await exchange(url, "GET", path)).status == 200


async def test_files_and_webhooks_have_their_own_checks(url: str) -> None:
    """A picture's name is a secret of its own; webhooks are signed."""
    name = "0" * 64

    assert (await exchange(url, "GET", f"/files/{name}.png")).status == 404
    assert (await exchange(url, "POST", "/webhooks/replicate")).status == 404


async def test_when_keys_cannot_be_looked_up(tmp_path: Path) -> None:
    """503 everywhere: a 401 or a 403 would make apps ask their users to log in again."""
    keys = some_keys()
    keys.is_gone = True
    async with server(tmp_path, keys) as url:
        assert (await create(url, bearer(KEY))).status == 503
        assert await handshake(url, target(token=KEY)) == 503
        answer = await exchange(url, "GET", target("longpoll", token=KEY))
        assert (answer.status, answer.header("retry-after")) == (503, "2")
        assert await handshake(url, target(token=phoenix_token())) == 101


# Scopes, and acting for others.


async def test_scopes_at_http(url: str) -> None:
    """403 names the scope that is missing."""
    task_id = await created_task(url, bearer(KEY))
    reader = bearer(READER)
    post = [
        await create(url, reader),
        await exchange(url, "POST", f"/api/tasks/{task_id}/cancel", [reader]),
        await exchange(url, "POST", f"/api/tasks/{task_id}/retry", [reader]),
    ]

    assert [(answer.status, problem(answer)["type"].rpartition(":")[2]) for answer in post] == [
        (403, "forbidden")
    ] * 3
    assert [
        next(word for word in ('"create"', '"cancel"') if word in problem(answer)["detail"])
        for answer in post
    ] == ['"create"', '"cancel"', '"create"']
    assert (await exchange(url, "GET", "/api/tasks", [reader])).status == 200


async def test_scopes_of_channel_events(tmp_path: Path) -> None:
    """A key that may not cancel gets an error, and one that may not read does not join."""
    keys = some_keys()
    keys.keys["pck_writer"] = ApiKey(name="writer", scopes=frozenset({Scope.CREATE}))
    keys.keys["pck_watcher"] = ApiKey(name="app", scopes=frozenset({Scope.CREATE, Scope.READ}))
    async with server(tmp_path, keys, emulator_speed=0.01) as url:
        task_id = await created_task(url, bearer("pck_watcher"))
        writer = await PhoenixWire.open(url, target(token="pck_writer"))
        watcher = await PhoenixWire.open(url, target(token="pck_watcher"))

        refused = await join(writer, task_id)
        accepted = await join(watcher, task_id)
        await watcher.send(["1", "9", f"task:{task_id}", "cancel", {}])
        while (message := await watcher.recv())[3] != "phx_reply":
            pass

        assert refused == {"status": "error", "response": {"reason": "forbidden"}}
        assert accepted["status"] == "ok"
        assert message[4] == {"status": "error", "response": {"reason": "forbidden"}}
        await writer.close()
        await watcher.close()


async def test_a_backend_acts_for_its_users(url: str) -> None:
    """With `X-Owner`, at HTTP and at the handshake."""
    owner = ("X-Owner", "user-17")

    assert (await create(url, bearer(BACKEND), owner)).status == 202
    assert await handshake(url, target(token=BACKEND), owner) == 101
    assert (await long_poll(url, target("longpoll", token=BACKEND), owner))["status"] == 410


@pytest.mark.parametrize(
    ("credential", "owner", "status", "word"),
    [
        (KEY, "user-17", 403, "forbidden"),
        (BACKEND, "key:app", 400, "bad-owner"),
        (BACKEND, "", 400, "bad-owner"),
        (BACKEND, "x" * 300, 400, "bad-owner"),
        ("pck_unknown", "user-17", 401, "unauthorized"),
    ],
)
async def test_who_cannot_act_for_others(
    url: str, credential: str, owner: str, status: int, word: str
) -> None:
    """Keys without the scope, and nobody for the owner of a key."""
    header = ("X-Owner", owner)

    answer = await create(url, bearer(credential), header)

    assert (answer.status, problem(answer)["type"].rpartition(":")[2]) == (status, word)
    assert await handshake(url, target(token=credential), header) == 403
    twice = await create(url, bearer(BACKEND), ("X-Owner", "a"), ("X-Owner", "b"))
    assert twice.status == 400
