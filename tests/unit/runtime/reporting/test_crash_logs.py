"""What is logged when a callback fails: where, with which value, and with its traceback."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from phoenix_compat import HandleResult, Limits, Reason, Result, Socket, on, stop
from phoenix_compat.runtime import join as join_module
from tests.patience import patient
from tests.unit.runtime.harness import Client, Engine, OpenChannel, settle, with_assigns


class BrokenError(Exception):
    """An error of an app."""


class FailingChannel(OpenChannel):
    """Fails as its route or the event says."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Any:  # type: ignore[override] # async instead of plain
        if payload == "wait":
            await asyncio.Event().wait()
        return socket.assigns["result"]

    @on("raise")
    def fail(self, payload: Any, socket: Socket) -> HandleResult:
        raise BrokenError("the cause")

    @on("return")
    def give_back(self, payload: Any, socket: Socket) -> Any:
        return {"not": "a result"}

    @on("stop")
    def stop_wrongly(self, payload: Any, socket: Socket) -> HandleResult:
        return stop("a reason")

    @on("info")
    def info(self, payload: Any, socket: Socket) -> None:
        socket.send_self("x")

    def handle_info(self, message: Any, socket: Socket) -> Any:
        return "from handle_info"


class JoinedChannel(FailingChannel):
    """The same, after its join."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # plain instead of async
        return OpenChannel.join(self, topic, payload, socket)


async def failed(event: str, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """What is logged when this event has ended its channel."""
    client = Client(Engine(), {"t": JoinedChannel})
    await client.join("t")
    await client.send("1", "2", "t", event, {})
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    return record


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        ("raise", ["channel on 't' crashed: BrokenError", "the cause"]),
        ("return", ["channel on 't' crashed: ", "the handler of 'return'", "{'not': 'a result'}"]),
        ("info", ["channel on 't' crashed: ", "handle_info or handle_out", "from handle_info"]),
        ("stop", ["channel on 't' crashed: 'a reason'"]),
        ("unknown", ["channel on 't' crashed: ", "unknown"]),
    ],
)
async def test_the_line_says_what_was_wrong(
    event: str, texts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The channel's topic, the callback and the value, and what is expected."""
    record = await failed(event, caplog)

    for text in texts:
        assert text in record.getMessage()


@pytest.mark.parametrize(
    ("event", "is_traced"), [("raise", True), ("return", True), ("stop", False), ("unknown", False)]
)
async def test_errors_have_their_tracebacks(
    event: str, is_traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Except those that are the client's mistake, and reasons that are no exceptions."""
    record = await failed(event, caplog)

    assert (record.exc_info is not None and record.exc_info[0] is not None) == is_traced


async def test_a_join_that_returns_no_result(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the callback, the value, and what to return."""
    client = Client(Engine(), {"t": with_assigns(FailingChannel, result=["no"])})

    await client.send("1", "1", "t", "phx_join", {})

    (record,) = caplog.records
    assert record.getMessage().startswith("join of 't' crashed: ")
    for text in ("join returned ['no']", "ok(...) or error(...)"):
        assert text in record.getMessage()


async def test_a_join_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the topic and the limit."""
    engine = Engine(Limits(join_timeout_s=0.001))
    client = Client(engine, {"t": FailingChannel})

    await client.send("1", "1", "t", "phx_join", "wait")
    async with asyncio.timeout(patient(5)):
        while client.server.is_blocked:
            await settle()

    assert caplog.records[0].getMessage() == "join of 't' took longer than 0.001 s"
    assert caplog.records[0].levelno == logging.ERROR


async def test_a_mailbox_that_is_full(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the topic and the limit."""
    client = Client(Engine(Limits(max_mailbox_messages=0)), {"t": JoinedChannel})
    await client.join("t")

    await client.send("1", "2", "t", "info", {})

    (record,) = caplog.records
    assert record.getMessage() == (
        "channel on 't' ended: more than 0 messages are waiting in its mailbox"
    )


class LateChannel(OpenChannel):
    """Ends with an error, after a wait."""

    async def terminate(self, reason: Reason, socket: Socket) -> None:
        await asyncio.sleep(0)
        raise BrokenError("the cause")


async def test_a_terminate_that_fails_after_a_wait(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback, like one that fails at once."""
    client = Client(Engine(), {"t": LateChannel})
    await client.join("t")

    await client.send("1", "2", "t", "phx_leave", {})
    await settle()

    (record,) = caplog.records
    assert record.getMessage() == "terminate of the channel on 't' failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is BrokenError


async def test_how_long_a_join_took(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its message to the result of `join`."""
    times = iter([100.0, 100.25])
    monkeypatch.setattr(join_module, "time", SimpleNamespace(perf_counter=times.__next__))
    client = Client(Engine(), {"t": OpenChannel})

    with caplog.at_level(logging.INFO, "phoenix_compat.socket"):
        await client.join("t")

    assert caplog.records[0].getMessage().startswith("JOINED t in 250ms\n")
