"""Texts while they are written, with the whole server and the emulator's streams."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from pathlib import Path

import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.emulator.predictions.run_output import _WRITTEN
from phoenix_compat.emulator.schedule import OutputKind
from tests.integration.outputs.first_word import MAX_MEDIAN_S, first_word_lags_s
from tests.integration.outputs.test_text_processes import created, move
from tests.integration.outputs.text_client import TextClient
from tests.integration.task_server import Client, product, settings_for
from tests.patience import factor, patient

MANY_TOKENS = "".join(_WRITTEN[OutputKind.MANY_TOKENS]())
ODD_TEXT = "".join(_WRITTEN[OutputKind.ODD_TEXT]())
STREAM_FAULTS = (
    "stream_404",
    "stream_500",
    "stream_500x2",
    "stream_html_200",
    "stream_hang",
    "stream_reset",
    "stream_resetx2",
    "stream_cut",
    "stream_cut #fault:stream_repeat",
    "stream_lost",
    "stream_garbage",
    "stream_endless",
    "stream_slow",
    "stream_error",
)


async def write(client: Client, prompt: str = "a story") -> TextClient:
    """Create a task that writes a text, and join it."""
    text_client = TextClient(client.url, await client.post(prompt, type="text"))
    await text_client.join()
    return text_client


async def test_a_text_is_shown_while_it_is_written(tmp_path: Path) -> None:
    """It comes in parts, in order and each once; `progress` goes on, and the result is the text."""
    async with product(settings_for(tmp_path, emulator_speed=4.0)) as client:
        shown = await (await write(client)).to_the_end()

        assert len(shown.events) >= 5
        assert "".join(event["text"] for event in shown.events) == shown.result == shown.text
        assert [event["seq"] for event in shown.events] == sorted(
            {event["seq"] for event in shown.events}
        )
        assert {len(payload) for payload in shown.progress[:-1]} == {4}
        progress = [payload["progress"] for payload in shown.progress]
        assert progress == sorted(progress)
        _, health = await client.request("GET", "/healthz")
        assert health["outputs"]["texts"] == 0
        assert health["outputs"]["broadcasts"] >= len(shown.events) - 1


@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_a_broken_stream_makes_no_hole(tmp_path: Path, fault: str) -> None:
    """Whatever the stream does, polls complete the text, and no client has a wrong one."""
    async with product(settings_for(tmp_path)) as client:
        prompt = f"a story #fault:{fault}"

        shown = await (await write(client, prompt)).to_the_end()

        assert shown.text == shown.result
        if fault != "stream_lost":  # which only a poll can notice
            assert all(shown.result.startswith(text) for text in shown.texts)
        assert shown.result.startswith(f"You asked about: {prompt}")


@pytest.mark.parametrize("fault", ["", "#fault:stream_cut", "#fault:stream_slow"])
async def test_every_character_survives(tmp_path: Path, fault: str) -> None:
    """Line breaks, emoji, and lines that look like events."""
    async with product(settings_for(tmp_path)) as client:
        text_client = await write(client, f"x #fault:output_odd_text {fault}")

        shown = await text_client.to_the_end()

        assert shown.text == shown.result == ODD_TEXT


async def test_clients_that_come_and_go_have_the_whole_text(tmp_path: Path) -> None:
    """Those that join late or again get all of it so far in one event; V1 and V2 clients alike."""
    rng = random.Random(7)  # noqa: S311 - when clients come and go
    speed = 1.5 / factor()  # on a busy machine, too, the clients come while the text is written
    async with product(settings_for(tmp_path, emulator_speed=speed)) as client:
        task_id = await client.post("#fault:output_many_tokens", type="text")

        async def come_and_go(number: int) -> TextClient:
            text_client = TextClient(client.url, task_id, is_v1=number % 2 == 0)
            for chars in sorted(rng.randrange(len(MANY_TOKENS)) for _ in range(3)):
                await text_client.join()
                before = len(text_client.shown.events)
                await text_client.until(chars)
                if len(text_client.shown.events) > before:
                    first = text_client.shown.events[before]
                    assert first["seq"] == len(first["text"])
                await text_client.leave()
                if text_client.shown.is_over:
                    return text_client
            await text_client.join()
            await text_client.to_the_end()
            return text_client

        text_clients = await asyncio.gather(*(come_and_go(number) for number in range(50)))

        assert {one.shown.result == MANY_TOKENS for one in text_clients} == {True}
        stayed = [one for one in text_clients if one.shown.events[-1]["seq"] == len(MANY_TOKENS)]
        assert {one.shown.text == MANY_TOKENS for one in stayed} == {True}
        assert len(stayed) >= 10  # most were not between two visits when the text was whole


async def test_a_client_that_comes_late_gets_the_result(tmp_path: Path) -> None:
    """After the end there is no `output`, because the result has the text."""
    async with product(settings_for(tmp_path)) as client:
        text_client = await write(client)
        await text_client.to_the_end()

        await text_client.join()
        before = len(text_client.shown.events)
        await text_client.read()
        await text_client.leave()

        assert text_client.shown.result == text_client.shown.text
        assert len(text_client.shown.events) == before


async def test_a_word_is_on_the_wire_at_once(tmp_path: Path) -> None:
    """From the moment at which the provider has it, in the median 50 ms on a quiet machine."""
    async with Emulator(EmulatorSettings(speed=1.0)) as emulator:
        emulator.state.clock.scale(0.0)
        settings = settings_for(
            tmp_path,
            replicate_api_token="r8_test",
            replicate_base_url=emulator.base_url,
            insecure_no_auth=True,
        )
        async with product(settings) as client:
            text_client = await write(client, "#fault:output_many_tokens")
            await created(emulator)
            lags_s = []
            for step in range(1, 12):
                begin_s = time.perf_counter()
                move(emulator, step / 20)
                before = len(text_client.shown.events)
                while len(text_client.shown.events) == before:
                    await text_client.read()
                lags_s.append(time.perf_counter() - begin_s)
            await text_client.leave()

        assert statistics.median(lags_s) <= patient(0.05)


async def test_the_first_word_is_on_the_wire_at_once(tmp_path: Path) -> None:
    """From a server process, in the median 50 ms after the provider has written it."""
    lags_s = await first_word_lags_s(tmp_path, 7)

    assert statistics.median(lags_s) <= patient(MAX_MEDIAN_S)


async def test_pictures_have_no_output(tmp_path: Path) -> None:
    """A client of a picture gets `progress` alone, with the keys that it always had."""
    async with product(settings_for(tmp_path)) as client:
        payloads = await client.follow(await client.post())

        assert {json.dumps(list(payload)) for payload in payloads[:-1]} == {
            '["task_id", "progress", "status", "timestamp"]'
        }
