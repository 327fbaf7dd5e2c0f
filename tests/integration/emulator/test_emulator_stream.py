"""The emulator's server-sent events, over real sockets."""

from __future__ import annotations

import pytest

from tests.unit.emulator.caller import calling


@pytest.mark.parametrize(
    ("model", "prompt", "events"),
    [
        ("meta/meta-llama-3-8b-instruct", "x", ["output"] * 21 + ["done"]),
        ("google/imagen-4-fast", "x", ["output", "done"]),
        ("google/imagen-4-fast", "#fault:E005", ["error", "done"]),
        ("google/imagen-4-fast", "#fault:canceled", ["done"]),
    ],
)
async def test_a_stream(model: str, prompt: str, events: list[str]) -> None:
    """Each chunk is an output event, and the last event says how it went."""
    async with calling() as caller:
        body = {"version": model}
        created = await caller.create(prompt, path="/v1/predictions", body=body)
        caller.state.clock.scale(50)

        seen = await caller.get(created.json["urls"]["stream"])

        assert seen.headers["Content-Type"] == "text/event-stream"
        lines = seen.body.decode().splitlines()
        assert [line[7:] for line in lines if line.startswith("event: ")] == events


async def test_a_stream_is_resumed() -> None:
    """Last-Event-ID leaves out what the client already has."""
    async with calling() as caller:
        body = {"version": "meta/meta-llama-3-8b-instruct"}
        created = await caller.create(path="/v1/predictions", body=body)
        caller.state.clock.advance(60)
        url = created.json["urls"]["stream"]
        whole = (await caller.get(url)).body.decode()

        rest = (await caller.get(url, headers={"Last-Event-ID": "1:4"})).body.decode()

        assert whole.endswith(rest)
        assert whole.count("event: output") - rest.count("event: output") == 5


async def test_an_idle_stream_is_closed() -> None:
    """After 30 s without an event there is a comment and the end."""
    async with calling() as caller:
        created = await caller.create("#fault:stuck_processing")
        caller.state.clock.scale(500)

        seen = await caller.get(created.json["urls"]["stream"])

        assert seen.body == b":408: 408 Request Timeout\n\n"
