"""Every fault of the table, struck once over real sockets. A fault without a scene here fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from phoenix_compat.emulator import FAULTS
from phoenix_compat.emulator.faults.fault import Stage
from tests.integration.emulator.test_emulator_fault_outcomes import FILES, OUTCOMES
from tests.integration.emulator.test_emulator_webhooks import WEBHOOKS
from tests.unit.emulator.caller import IMAGEN, PATIENCE_S, calling
from tests.unit.emulator.checks import (
    Check,
    failed,
    is_broken_json,
    is_prediction,
    page,
    status,
    throttled,
)

HANGS = {"hang", "hang_after"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client sees of a fault in one HTTP exchange.

    Attributes:
        is_done: the request was carried out; of a create: the prediction exists.
        takes_s: how much emulated time it costs at least.
    """

    check: Check
    is_done: bool = False
    takes_s: float = 0.0


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
    "503": Exchange(lambda seen: (seen.status, seen.body) == (503, b"")),
    "504": Exchange(page(504)),
    "json_list": Exchange(lambda seen: seen.status == 500 and isinstance(seen.json, list)),
    "json_string": Exchange(lambda seen: seen.status == 500 and isinstance(seen.json, str)),
    "html_200": Exchange(page(200)),
    "hang": Exchange(failed(TimeoutError)),
    "reset": Exchange(failed(*RESET)),
    "truncated": Exchange(is_broken_json, is_done=True),
    "cut": Exchange(failed(aiohttp.ClientPayloadError), is_done=True),
    "invalid_json": Exchange(is_broken_json, is_done=True),
    "slow_drip": Exchange(is_prediction, is_done=True, takes_s=3),
    "slow_answer": Exchange(is_prediction, is_done=True, takes_s=5),
    "hang_after": Exchange(failed(TimeoutError), is_done=True),
    "reset_after": Exchange(failed(*RESET), is_done=True),
    "502_after": Exchange(page(502), is_done=True),
}


def names(stage: Stage) -> list[str]:
    """The faults of this stage."""
    return [fault.name for fault in FAULTS.values() if fault.stage is stage]


def patience(name: str) -> dict[str, Any]:
    """Only where nothing will come is the waiting cut short."""
    return {"patience_s": PATIENCE_S} if any(name.endswith(hang) for hang in HANGS) else {}


def strikes(name: str) -> int:
    """How often a fault must strike for this client to see it once."""
    # aiohttp repeats a GET by itself, once, when the connection breaks.
    return 2 if name in ("poll_reset", "list_reset") else 1


@pytest.mark.parametrize("name", names(Stage.CREATE))
async def test_a_create_fault_strikes_once(name: str) -> None:
    """The client sees the fault, the prediction exists or not as it says, the next try passes."""
    scene, prompt = EXCHANGES[name], f"a monk #fault:{name}x1"
    async with calling() as caller:
        caller.state.clock.scale(50 if scene.takes_s else 0)
        began_s = caller.state.clock.now_s()

        seen = await caller.create(prompt, **patience(name))

        assert scene.check(seen), seen
        assert caller.state.clock.now_s() - began_s >= scene.takes_s
        assert caller.state.counts["created"] == scene.is_done
        assert is_prediction(await caller.create(prompt))


@pytest.mark.parametrize("name", names(Stage.POLL))
async def test_a_poll_fault_strikes_once(name: str) -> None:
    """The create passes, the first poll meets the fault, the second the truth."""
    scene = EXCHANGES[name.removeprefix("poll_")]
    async with calling() as caller:
        created = await caller.create(f"a monk #fault:{name}x{strikes(name)}")
        caller.state.clock.scale(50 if scene.takes_s else 0)
        began_s = caller.state.clock.now_s()

        seen = await caller.poll(created, **patience(name))

        assert scene.check(seen), seen
        assert caller.state.clock.now_s() - began_s >= scene.takes_s
        assert (await caller.poll(created)).json["id"] == created.json["id"]


@pytest.mark.parametrize("name", names(Stage.LIST))
async def test_a_list_fault_strikes_once(name: str) -> None:
    """Armed by the control route, it strikes the next listing and no other."""
    scene = EXCHANGES[name.removeprefix("list_")]
    async with calling() as caller:
        await caller.create()
        await caller.request("POST", "/__emu/faults", json={"name": name, "times": strikes(name)})

        seen = await caller.get("/v1/predictions", **patience(name))

        assert scene.check(seen), seen
        assert len((await caller.get("/v1/predictions")).json["results"]) == 1


@pytest.mark.parametrize("name", names(Stage.CANCEL))
async def test_a_cancel_fault_leaves_the_prediction_alone(name: str) -> None:
    """Asked for by header, it strikes this cancel; nothing is canceled."""
    scene = EXCHANGES[name.removeprefix("cancel_")]
    async with calling() as caller:
        created = await caller.create()
        url = created.json["urls"]["cancel"]

        seen = await caller.request("POST", url, headers={"X-Emu-Fault": name}, **patience(name))

        assert scene.check(seen), seen
        assert (await caller.poll(created)).json["status"] == "starting"
        assert (await caller.request("POST", url)).json["status"] == "canceled"


async def test_a_hanging_handler_ends_with_the_emulator() -> None:
    """Closing does not wait for a request that hangs."""
    async with calling() as caller:
        caller.state.timer.close()

        seen = await caller.create("#fault:hang")

        assert isinstance(seen.failure, RESET)


async def test_a_header_fault_of_a_create_lasts_for_its_prediction() -> None:
    """X-Emu-Fault on the create is as if the prompt had said it."""
    async with calling() as caller:
        headers = {"X-Emu-Fault": "E005, poll_500x1"}
        created = await caller.request(
            "POST", IMAGEN, json={"input": {"prompt": "x"}}, headers=headers
        )
        caller.state.clock.advance(60)

        first, second = await caller.poll(created), await caller.poll(created)

        assert first.status == 500
        assert second.json["status"] == "failed"


async def test_an_unknown_fault_is_refused() -> None:
    """A misspelt keyword makes a 422 that says so, and no prediction."""
    async with calling() as caller:
        seen = await caller.create("#fault:pol_500")

        assert seen.status == 422
        assert "poll_500" in seen.json["detail"]
        assert caller.state.counts["created"] == 0


def test_every_fault_has_a_scene() -> None:
    """The scenes cover the table, row for row; webhooks have theirs in their own file."""
    assert set(EXCHANGES) == set(names(Stage.CREATE))
    assert {name.removeprefix("poll_") for name in names(Stage.POLL)} <= set(EXCHANGES)
    assert set(OUTCOMES) == set(names(Stage.OUTCOME))
    assert set(FILES) == set(names(Stage.FILE))
    assert set(WEBHOOKS) == set(names(Stage.WEBHOOK))
