"""The emulator's server-sent events, over real sockets."""

from __future__ import annotations

import pytest

from tests.unit.emulator.emulator_client import emulator_client


@pytest.mark.parametrize(
    ("model", "prompt", "events"),
    [
        ("meta/meta-llama-3-8b-instruct", "x", ["output"] * 21 + ["done"]),
        ("google/imagen-4-fast", "x", ["output", "done"]),
        ("google/imagen-4-fast", "#fault:E005", ["error", "done"]),
        ("google/imagen-4-fast", "#fault:canceled", ["done"]),
    ],
)
async def test_a_stream_has_the_output_and_the_end(
    model: str, prompt: str, events: list[str]
) -> None:
    """Each chunk is an `output` event, and the last event shows how the prediction ended."""
    async with emulator_client() as client:
        body = {"version": model}
        created = await client.create(prompt, path="/v1/predictions", body=body)
        client.state.clock.scale(50)

        response = await client.get(created.json["urls"]["stream"])

        assert response.headers["Content-Type"] == "text/event-stream"
        lines = response.body.decode().splitlines()
        assert [line[7:] for line in lines if line.startswith("event: ")] == events


async def test_a_stream_is_resumed() -> None:
    """With `Last-Event-ID` the stream continues after that event."""
    async with emulator_client() as client:
        body = {"version": "meta/meta-llama-3-8b-instruct"}
        created = await client.create(path="/v1/predictions", body=body)
        client.state.clock.advance(60)
        url = created.json["urls"]["stream"]
        whole = (await client.get(url)).body.decode()

        rest = (await client.get(url, headers={"Last-Event-ID": "1:4"})).body.decode()

        assert whole.endswith(rest)
        assert whole.count("event: output") - rest.count("event: output") == 5


async def test_an_idle_stream_is_closed() -> None:
    """After 30 s without an event the stream ends with a comment."""
    async with emulator_client() as client:
        created = await client.create("#fault:stuck_processing")
        client.state.clock.scale(500)

        response = await client.get(created.json["urls"]["stream"])

        assert response.body == b":408: 408 Request Timeout\n\n"
