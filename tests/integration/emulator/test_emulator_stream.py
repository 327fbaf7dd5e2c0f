"""The emulator's server-sent events, over real sockets."""

from __future__ import annotations

import aiohttp
import pytest

from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.emulator.faults.fault_table import FAULTS
from phoenix_compat.emulator.predictions.run_output import text_chunks
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


TEXT_MODEL = {"version": "meta/meta-llama-3-8b-instruct"}


async def streamed(prompt: str) -> tuple[int | None, str, bytes]:
    """The status, the type and the body of the stream of a text that is complete."""
    async with emulator_client() as client:
        created = await client.create(prompt, path="/v1/predictions", body=TEXT_MODEL)
        client.state.clock.advance(60)
        response = await client.get(created.json["urls"]["stream"])
        return response.status, response.headers["Content-Type"], response.body


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        ("stream_404", 404, "application/problem+json"),
        ("stream_500", 500, "application/problem+json"),
        ("stream_html_200", 200, "text/html; charset=utf-8"),
    ],
)
async def test_a_stream_may_be_refused(fault: str, status: int, content_type: str) -> None:
    """The answer is an error, or a page, in place of the stream."""
    answered = await streamed(f"x #fault:{fault}")

    assert answered[:2] == (status, content_type)


@pytest.mark.parametrize("fault", ["stream_lost", "stream_garbage", "stream_error"])
async def test_an_event_may_be_lost_or_replaced(fault: str) -> None:
    """The third event is left out, or something else is in its place; the others are there."""
    _, _, body = await streamed(f"x #fault:{fault}")

    whole = body.count(b"event: output")
    assert body.count(b"\xff") == (1 if fault == "stream_garbage" else 0)
    assert body.count(b"event: error") == (1 if fault == "stream_error" else 0)
    assert b":2\n" not in body
    assert whole >= 20
    assert body.endswith(b"event: done\ndata: {}\n\n")


async def test_a_stream_may_break_off_and_repeat_itself() -> None:
    """Each connection has three events and half of the fourth, from the first one again."""
    async with emulator_client() as client:
        created = await client.create(
            "x #fault:stream_cut #fault:stream_repeat", path="/v1/predictions", body=TEXT_MODEL
        )
        client.state.clock.advance(60)

        for headers in ({}, {"Last-Event-ID": "1:2"}):
            response = await client.get(created.json["urls"]["stream"], headers=headers)
            assert isinstance(response.failure, aiohttp.ClientError)

        assert client.state.counts["streams"] == 2
        assert client.state.faults.totals == {"stream_cut": 2, "stream_repeat": 2}


async def test_a_text_grows_token_by_token() -> None:
    """A prediction of many tokens has some of them in the middle of its run, and all at the end."""
    async with emulator_client() as client:
        client.state.clock.scale(0)
        await client.create("x #fault:output_many_tokens", path="/v1/predictions", body=TEXT_MODEL)
        [prediction] = client.state.predictions
        client.state.clock.advance(prediction.schedule.starting_s + prediction.schedule.run_s / 2)
        half = client.state.document(prediction)["output"]
        client.state.clock.advance(60)

        assert 9_900 <= len(half) <= 10_100
        assert client.state.document(prediction)["output"] == list(text_chunks(prediction))
        assert len(text_chunks(prediction)) == 20_000


def test_every_fault_of_streams_is_listed() -> None:
    """The names of the stage begin with its name."""
    names = [fault.name for fault in FAULTS.values() if fault.stage is Stage.STREAM]

    assert len(names) == 12
    assert all(name.startswith("stream_") for name in names)
