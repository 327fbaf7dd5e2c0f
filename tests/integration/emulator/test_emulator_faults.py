"""Every fault of the table, injected once over real sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from phoenix_compat.emulator import FAULTS
from phoenix_compat.emulator.faults.fault import Stage
from tests.integration.emulator.test_emulator_fault_outcomes import FILES, OUTCOMES
from tests.integration.emulator.test_emulator_webhooks import WEBHOOKS
from tests.unit.emulator.checks import (
    Check,
    failed,
    is_broken_json,
    is_prediction,
    page,
    status,
    throttled,
)
from tests.unit.emulator.emulator_client import IMAGEN, NO_ANSWER_TIMEOUT_S, emulator_client

HANGS = {"hang", "hang_after"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client sees of a fault in one HTTP exchange.

    Attributes:
        is_done: the request was carried out; after a create the prediction exists.
        min_duration_s: how much emulated time it takes at least.
    """

    check: Check
    is_done: bool = False
    min_duration_s: float = 0.0


RESET = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)
EXCHANGES: dict[str, Exchange] = {
    "429": Exchange(throttled(1, 1)),
    "429_body": Exchange(throttled(1, None)),
    "429_header": Exchange(throttled(None, 1)),
    "429_huge": Exchange(throttled(86_400, 86_400)),
    "429_zero": Exchange(throttled(0, 0)),
    "401": Exchange(status(401, title="Unauthenticated")),
    "402": Exchange(status(402, title="Insufficient credit")),
    "403": Exchange(status(403)),
    "404": Exchange(status(404, detail="The requested resource could not be found.")),
    "413": Exchange(status(413)),
    "422": Exchange(status(422, title="Input validation failed")),
    "500": Exchange(status(500)),
    "502": Exchange(page(502)),
    "503": Exchange(lambda response: (response.status, response.body) == (503, b"")),
    "504": Exchange(page(504)),
    "json_list": Exchange(
        lambda response: response.status == 500 and isinstance(response.json, list)
    ),
    "json_string": Exchange(
        lambda response: response.status == 500 and isinstance(response.json, str)
    ),
    "html_200": Exchange(page(200)),
    "hang": Exchange(failed(TimeoutError)),
    "reset": Exchange(failed(*RESET)),
    "truncated": Exchange(is_broken_json, is_done=True),
    "cut": Exchange(failed(aiohttp.ClientPayloadError), is_done=True),
    "invalid_json": Exchange(is_broken_json, is_done=True),
    "slow_drip": Exchange(is_prediction, is_done=True, min_duration_s=3),
    "slow_answer": Exchange(is_prediction, is_done=True, min_duration_s=5),
    "hang_after": Exchange(failed(TimeoutError), is_done=True),
    "reset_after": Exchange(failed(*RESET), is_done=True),
    "502_after": Exchange(page(502), is_done=True),
}


def names(stage: Stage) -> list[str]:
    """The names of the faults of this stage."""
    return [fault.name for fault in FAULTS.values() if fault.stage is stage]


def timeout_options(name: str) -> dict[str, Any]:
    """A short timeout for faults without a response."""
    return {"timeout_s": NO_ANSWER_TIMEOUT_S} if any(name.endswith(hang) for hang in HANGS) else {}


def needed_times(name: str) -> int:
    """How often a fault must apply for this client to see it once."""
    # aiohttp retries a GET once when the connection breaks.
    return 2 if name in ("poll_reset", "list_reset") else 1


@pytest.mark.parametrize("name", names(Stage.CREATE))
async def test_a_create_fault_applies_once(name: str) -> None:
    """The client sees the fault, the prediction exists if it should, and the next try succeeds."""
    expected, prompt = EXCHANGES[name], f"a monk #fault:{name}x1"
    async with emulator_client() as client:
        client.state.clock.scale(50 if expected.min_duration_s else 0)
        began_s = client.state.clock.now_s()

        response = await client.create(prompt, **timeout_options(name))

        assert expected.check(response), response
        assert client.state.clock.now_s() - began_s >= expected.min_duration_s
        assert client.state.counts["created"] == expected.is_done
        assert is_prediction(await client.create(prompt))


@pytest.mark.parametrize("name", names(Stage.POLL))
async def test_a_poll_fault_applies_once(name: str) -> None:
    """The create succeeds, the first poll has the fault, and the second succeeds."""
    expected = EXCHANGES[name.removeprefix("poll_")]
    async with emulator_client() as client:
        created = await client.create(f"a monk #fault:{name}x{needed_times(name)}")
        client.state.clock.scale(50 if expected.min_duration_s else 0)
        began_s = client.state.clock.now_s()

        response = await client.poll(created, **timeout_options(name))

        assert expected.check(response), response
        assert client.state.clock.now_s() - began_s >= expected.min_duration_s
        assert (await client.poll(created)).json["id"] == created.json["id"]


@pytest.mark.parametrize("name", names(Stage.LIST))
async def test_a_list_fault_applies_once(name: str) -> None:
    """Armed with the control route, it applies to the next listing only."""
    expected = EXCHANGES[name.removeprefix("list_")]
    async with emulator_client() as client:
        await client.create()
        await client.request(
            "POST", "/__emu/faults", json={"name": name, "times": needed_times(name)}
        )

        response = await client.get("/v1/predictions", **timeout_options(name))

        assert expected.check(response), response
        assert len((await client.get("/v1/predictions")).json["results"]) == 1


@pytest.mark.parametrize("name", names(Stage.CANCEL))
async def test_a_cancel_fault_cancels_nothing(name: str) -> None:
    """Requested by header, it applies to this cancel, and the prediction is not canceled."""
    expected = EXCHANGES[name.removeprefix("cancel_")]
    async with emulator_client() as client:
        created = await client.create()
        url = created.json["urls"]["cancel"]

        response = await client.request(
            "POST", url, headers={"X-Emu-Fault": name}, **timeout_options(name)
        )

        assert expected.check(response), response
        assert (await client.poll(created)).json["status"] == "starting"
        assert (await client.request("POST", url)).json["status"] == "canceled"


async def test_a_hanging_handler_ends_with_the_emulator() -> None:
    """The shutdown does not wait for a request that hangs."""
    async with emulator_client() as client:
        client.state.timer.close()

        response = await client.create("#fault:hang")

        assert isinstance(response.failure, RESET)


async def test_a_fault_in_the_header_of_a_create_applies_to_its_prediction() -> None:
    """`X-Emu-Fault` on a create has the same effect as a keyword in the prompt."""
    async with emulator_client() as client:
        headers = {"X-Emu-Fault": "E005, poll_500x1"}
        created = await client.request(
            "POST", IMAGEN, json={"input": {"prompt": "x"}}, headers=headers
        )
        client.state.clock.advance(60)

        first, second = await client.poll(created), await client.poll(created)

        assert first.status == 500
        assert second.json["status"] == "failed"


async def test_an_unknown_fault_is_refused() -> None:
    """A misspelt keyword gives 422 with a suggestion, and nothing is created."""
    async with emulator_client() as client:
        response = await client.create("#fault:pol_500")

        assert response.status == 422
        assert "poll_500" in response.json["detail"]
        assert client.state.counts["created"] == 0


def test_every_fault_is_tested() -> None:
    """The expectations cover every row of the fault table; other stages have their own files."""
    assert set(EXCHANGES) == set(names(Stage.CREATE))
    assert {name.removeprefix("poll_") for name in names(Stage.POLL)} <= set(EXCHANGES)
    assert set(OUTCOMES) == set(names(Stage.OUTCOME))
    assert set(FILES) == set(names(Stage.FILE))
    assert set(WEBHOOKS) == set(names(Stage.WEBHOOK))
