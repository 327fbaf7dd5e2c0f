"""Payloads that do not have the type of their handler, and those that do."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from phoenix_compat import HandleResult, Result, Socket, on, on_join
from phoenix_compat.protocol.message import Message
from phoenix_compat.result import ok
from phoenix_compat.runtime.limits import Counters
from phoenix_compat.runtime.reporting.invalid_payloads import InvalidPayloads
from phoenix_compat.runtime.reporting.limited_log import PAUSE_S
from phoenix_compat.typed_payload import InvalidPayloadError
from tests.unit.runtime.harness import Client, Engine, Latches, OpenChannel, replied, with_assigns


class NewMsg(msgspec.Struct):
    """The payload of the events."""

    body: str


class TypedChannel(OpenChannel):
    """Handlers with types."""

    @on("sync", NewMsg)
    def sync(self, payload: NewMsg, socket: Socket) -> HandleResult:
        return ok([type(payload).__name__, payload.body, socket.ref])

    @on("async", NewMsg)
    async def wait(self, payload: NewMsg, socket: Socket) -> HandleResult:
        return ok(await socket.assigns["latches"].at(payload.body))

    @on("binary", bytes)
    def binary(self, payload: bytes, socket: Socket) -> HandleResult:
        return ok(len(payload))

    @on("raises", NewMsg)
    async def raises(self, payload: NewMsg, socket: Socket) -> HandleResult:
        raise ValueError(payload.body)


class TypedJoin(OpenChannel):
    """A join with a type."""

    @on_join(NewMsg)
    def join(self, topic: str, payload: NewMsg, socket: Socket) -> Result:
        return ok(body=payload.body)


CHANNELS = {"room:*": TypedChannel, "typed:*": TypedJoin}


def invalid(join_ref: str, ref: Any, topic: str, field: str, message: str) -> list[Any]:
    """The reply to a payload that does not fit."""
    body = {"reason": "invalid_payload", "field": field, "message": message}
    return replied(join_ref, ref, topic, body, "error")


MISSING = "Object missing required field `body`"


async def test_a_payload_that_fits() -> None:
    """The method gets the converted value, and the ref of its message."""
    client = Client(Engine(), CHANNELS)
    await client.join("room:1")

    await client.send("1", "2", "room:1", "sync", {"body": "hi"})

    assert client.received() == [replied("1", "2", "room:1", ["NewMsg", "hi", "2"])]
    assert client.engine.counters.invalid_payloads == 0


@pytest.mark.parametrize("event", ["sync", "async"])
async def test_a_payload_that_does_not_fit(event: str, caplog: pytest.LogCaptureFixture) -> None:
    """The reply names the field, the channel continues, and nothing is logged."""
    client = Client(Engine(), CHANNELS)
    await client.join("room:1")

    await client.send("1", "2", "room:1", event, {"text": "hi"})
    await client.send("1", "3", "room:1", "sync", {"body": "hi"})

    assert client.received() == [
        invalid("1", "2", "room:1", "body", MISSING),
        replied("1", "3", "room:1", ["NewMsg", "hi", "3"]),
    ]
    assert client.engine.counters.invalid_payloads == 1
    assert client.engine.counters.channels_crashed == 0
    assert caplog.records == []


async def test_in_the_mailbox() -> None:
    """A payload that does not fit is answered in its turn, and the mailbox goes on."""
    latches = Latches()
    client = Client(Engine(), {"room:*": with_assigns(TypedChannel, latches=latches)})
    await client.join("room:1")

    await client.send("1", "2", "room:1", "async", {"body": "latch"})
    await client.send("1", "3", "room:1", "sync", {})
    await client.send("1", "4", "room:1", "sync", {"body": "hi"})
    early = client.received()
    await latches.open("latch", "done")

    assert early == []
    assert client.received() == [
        replied("1", "2", "room:1", "done"),
        invalid("1", "3", "room:1", "body", MISSING),
        replied("1", "4", "room:1", ["NewMsg", "hi", "4"]),
    ]


async def test_a_binary_payload() -> None:
    """`bytes` takes a binary push, and refuses JSON."""
    client = Client(Engine(), CHANNELS)
    await client.join("room:1")

    await client.send_bytes(b"\x00\x01\x01\x06\x0612room:1binary\x00\xff", is_binary=True)
    await client.send("1", "3", "room:1", "binary", {"body": "hi"})

    assert client.received() == [
        replied("1", "2", "room:1", 2),
        invalid("1", "3", "room:1", "", "Expected a binary payload, got JSON"),
    ]


async def test_a_message_without_a_ref(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, logged and dropped; the log has no words of the client."""
    client = Client(Engine(), CHANNELS)
    await client.join("room:1")

    for _ in range(3):
        await client.send("1", None, "room:1", "sync", {"secret-word": "secret-value"})
    await client.send("1", "3", "room:1", "sync", {"body": "hi"})

    assert client.received() == [replied("1", "3", "room:1", ["NewMsg", "hi", "3"])]
    assert client.engine.counters.invalid_payloads == 3
    (record,) = caplog.records
    assert record.getMessage() == (
        "dropped a message without a ref: TypedChannel has @on('sync', NewMsg), and the payload "
        "does not fit (0 more since the last such line)"
    )


async def test_a_handler_that_raises() -> None:
    """An error of the handler itself still ends the channel."""
    client = Client(Engine(), CHANNELS)
    await client.join("room:1")

    await client.send("1", "2", "room:1", "raises", {"body": "hi"})

    assert client.received() == [["1", "1", "room:1", "phx_error", {"reason": "channel_crash"}]]
    assert client.engine.counters.channels_crashed == 1


async def test_joins() -> None:
    """A join whose payload fits gets the value; another one is refused and may be repeated."""
    client = Client(Engine(), CHANNELS)

    await client.send("1", "1", "typed:1", "phx_join", {"body": 5})
    await client.send("2", "2", "typed:1", "phx_join", {"body": "hi"})

    assert client.received() == [
        invalid("1", "1", "typed:1", "body", "Expected `str`, got `int`"),
        replied("2", "2", "typed:1", {"body": "hi"}),
    ]
    assert client.engine.counters.invalid_payloads == 1
    assert client.engine.counters.channels_crashed == 0


async def test_a_refused_rejoin() -> None:
    """The old channel of a refused duplicate join is closed, as after every refusal."""
    client = Client(Engine(), CHANNELS)
    await client.send("1", "1", "typed:1", "phx_join", {"body": "hi"})
    client.received()

    await client.send("2", "2", "typed:1", "phx_join", {})

    assert client.received() == [
        invalid("2", "2", "typed:1", "body", MISSING),
        ["1", "1", "typed:1", "phx_close", {}],
    ]


def test_one_line_a_minute_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """There is one line for all messages of a minute."""
    now_s = 0.0
    counters = Counters()
    payloads = InvalidPayloads(counters, lambda: now_s)
    message = Message("1", None, "room:1", "sync", {})
    error = InvalidPayloadError("body", "secret")

    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            payloads.answer(TypedChannel(), message, error)
        now_s = PAUSE_S
        payloads.answer(TypedChannel(), message, error)

    assert [record.getMessage().rpartition("(")[2] for record in caplog.records] == [
        "0 more since the last such line)",
        "19 more since the last such line)",
    ]
    assert "secret" not in caplog.text
    assert counters.invalid_payloads == 21
