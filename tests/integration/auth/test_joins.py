"""Credentials in joins, and sockets whose credentials expire or are disconnected."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.server.channel import socket_authentication
from phoenix_compat.socket import Socket
from tests.integration.auth.auth_harness import (
    BACKEND,
    GOOD,
    KEY,
    bearer,
    created_task,
    handshake,
    join,
    long_poll,
    phoenix_token,
    server,
    target,
)
from tests.unit.server.auth.jwt_builder import token
from tests.wire import PhoenixWire

UNAUTHORIZED = {"status": "error", "response": {"reason": "unauthorized"}}
NOT_FOUND = {"status": "error", "response": {"reason": "not found"}}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server where clients may send their credential with each join."""
    async with server(tmp_path, auth_at_join=True, emulator_speed=0.01) as one:
        yield one


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[Socket]:
    """The sockets that connect, to disconnect their owners."""
    seen: list[Socket] = []
    connect = socket_authentication.SocketAuthentication.connect

    async def recording(self: Any, params: Any, socket: Socket, info: Any) -> bool:
        seen.append(socket)
        return await connect(self, params, socket, info)

    monkeypatch.setattr(socket_authentication.SocketAuthentication, "connect", recording)
    return seen


@pytest.mark.parametrize("kind", GOOD)
async def test_a_join_has_its_own_credential(url: str, kind: str) -> None:
    """A client without one may connect, but joins only with one."""
    credential = GOOD[kind]()
    task_id = await created_task(url, bearer(credential))
    wire = await PhoenixWire.open(url)

    without = await join(wire, task_id, "1")
    empty = await join(wire, task_id, "2", token="")
    wrong = await join(wire, task_id, "3", token="pck_unknown")
    other = await join(wire, task_id, "4", jwt=credential)
    number = await join(wire, task_id, "5", token=5)
    good = await join(wire, task_id, "6", token=credential)
    await wire.close()

    assert [without, empty, wrong, other, number] == [UNAUTHORIZED] * 5
    assert good["status"] == "ok"


@pytest.mark.parametrize("payload", [None, [], "x", 5, True])
async def test_a_payload_that_is_no_object(url: str, payload: Any) -> None:
    """It carries no credential."""
    wire = await PhoenixWire.open(url)

    reply = await wire.ask(["1", "1", "task:x", "phx_join", payload])
    await wire.close()

    assert reply[4] == UNAUTHORIZED


async def test_v1_and_long_polling(url: str) -> None:
    """The same over the other serializer and the other transport."""
    wire = await PhoenixWire.open(url, target(vsn="1.0.0"))
    v1 = await wire.ask({"topic": "task:x", "event": "phx_join", "payload": {}, "ref": "1"})
    await wire.close()
    session = (await long_poll(url, target("longpoll")))["token"]
    path = target("longpoll", token=session)
    body = b'["1","1","task:x","phx_join",{}]'
    await exchange(url, "POST", path, body=body)

    assert v1["payload"] == UNAUTHORIZED

    assert '"unauthorized"' in str((await long_poll(url, path))["messages"]).replace("'", '"')


async def test_a_bad_credential_is_refused_at_the_handshake(url: str) -> None:
    """Only an absent one is let in; acting for others needs one."""
    assert await handshake(url, target()) == 101
    assert await handshake(url, target(token="")) == 101
    assert await handshake(url, target(token="pck_unknown")) == 403
    assert await handshake(url, target(token=token(exp=1_000))) == 403
    assert await handshake(url, target(), ("X-Owner", "user-17")) == 403
    assert (await long_poll(url, target("longpoll", token="x")))["status"] == 403


async def test_a_credential_of_the_handshake_serves_joins_without_one(url: str) -> None:
    """A credential in the payload counts for its channel alone, and must be good."""
    task_id = await created_task(url, bearer(KEY))
    wire = await PhoenixWire.open(url, target(token=KEY))

    own = await join(wire, task_id, "1")
    wrong = await join(wire, "x", "2", token="pck_unknown")
    other = await join(wire, "x", "3", token=phoenix_token())
    await wire.close()

    assert (own["status"], wrong, other) == ("ok", UNAUTHORIZED, NOT_FOUND)


async def test_without_the_setting_joins_carry_no_credential(tmp_path: Path) -> None:
    """The socket's counts, whatever the payload has."""
    async with server(tmp_path) as url:
        task_id = await created_task(url, bearer(KEY))
        wire = await PhoenixWire.open(url, target(token=KEY))
        reply = await join(wire, task_id, token="pck_unknown")
        await wire.close()

    assert reply["status"] == "ok"


# Disconnecting an owner.


@pytest.mark.parametrize(
    ("credential", "topic"),
    [(KEY, "user:key:app"), (phoenix_token(), "user:user-17")],
    ids=["key", "token"],
)
async def test_the_sockets_of_an_owner_are_disconnected(
    tmp_path: Path, sockets: list[Socket], credential: str, topic: str
) -> None:
    """By "disconnect" on `user:OWNER`, with 1001; others stay."""
    async with server(tmp_path) as url:
        wire = await PhoenixWire.open(url, target(token=credential))
        other = await PhoenixWire.open(url, target(token=BACKEND))

        sockets[0].endpoint.broadcast(topic, "disconnect", {})

        assert await wire.recv_close() == 1001
        await other.fence()
        await wire.close()
        await other.close()


@pytest.mark.parametrize("topic", ["user:user-17", "user:key:backend"])
async def test_a_backends_socket_is_its_users_and_its_keys(
    tmp_path: Path, sockets: list[Socket], topic: str
) -> None:
    """It is closed with the user's other sockets, and with those of the key, without any join."""
    async with server(tmp_path) as url:
        wire = await PhoenixWire.open(url, target(token=BACKEND), [("X-Owner", "user-17")])
        other = await PhoenixWire.open(url, target(token=BACKEND), [("X-Owner", "user-18")])
        sockets[0].endpoint.broadcast("user:user-19", "disconnect", {})
        await wire.fence()

        sockets[0].endpoint.broadcast(topic, "disconnect", {})

        assert await wire.recv_close() == 1001
        if topic == "user:user-17":
            await other.fence()
        await wire.close()
        await other.close()


async def test_a_channel_with_an_owner_of_its_own_ends(url: str, sockets: list[Socket]) -> None:
    """The channels of other owners on the same socket go on."""
    task_id = await created_task(url, bearer(KEY))
    wire = await PhoenixWire.open(url)
    assert (await join(wire, task_id, "1", token=KEY))["status"] == "ok"
    assert (await wire.recv())[3] == "progress"

    sockets[0].endpoint.broadcast("user:key:app", "some event", {})
    sockets[0].endpoint.broadcast("user:key:app", "disconnect", {})
    while (message := await wire.recv())[3] == "progress":
        pass

    assert message[2:4] == [f"task:{task_id}", "phx_close"]
    assert await join(wire, "x", "2", token=phoenix_token()) == NOT_FOUND
    await wire.fence()
    await wire.close()


# Expiry.


async def test_a_socket_is_closed_when_its_token_expires(tmp_path: Path) -> None:
    """With 1001, at that time and not before; one whose credential does not expire stays."""
    async with server(tmp_path, close_expired_sockets=True) as url:
        expires_at_s = int(time.time()) + 2
        wire = await PhoenixWire.open(url, target(token=token(exp=expires_at_s)))
        lasting = await PhoenixWire.open(url, target(token=KEY))

        code = await wire.recv_close(timeout_s=10.0)

        assert (code, time.time() >= expires_at_s - 0.01) == (1001, True)
        await lasting.fence()
        await wire.close()
        await lasting.close()


async def test_a_token_of_a_join_closes_its_socket(tmp_path: Path) -> None:
    """The earliest of several counts."""
    async with server(tmp_path, close_expired_sockets=True, auth_at_join=True) as url:
        now_s = int(time.time())
        wire = await PhoenixWire.open(url)
        await join(wire, "x", "1", token=token(exp=now_s + 3_600))
        await join(wire, "x", "2", token=token(exp=now_s + 2))
        await join(wire, "x", "3", token=token(exp=now_s + 3_600))

        assert await wire.recv_close(timeout_s=10.0) == 1001
        await wire.close()


@pytest.mark.parametrize("closes", [True, False])
async def test_an_admitted_socket_stays_as_in_phoenix(
    tmp_path: Path, sockets: list[Socket], *, closes: bool
) -> None:
    """Without the setting there is no timer: expiry is for the next connect."""
    expires_at_s = int(time.time()) + 3_600
    async with server(tmp_path, close_expired_sockets=closes) as url:
        assert await handshake(url, target(token=token(exp=expires_at_s))) == 101

    assert sockets[0].closes_at_s == (expires_at_s if closes else None)
