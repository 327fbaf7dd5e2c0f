"""The emulator's control routes, over real sockets."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator import FAULTS, EmulatorSettings
from phoenix_compat.errors import ConfigError
from tests.unit.emulator.caller import calling


async def test_the_clock_can_be_moved() -> None:
    """The control route advances and scales, and refuses to go back."""
    async with calling() as caller:
        created = await caller.create()

        moved = await caller.request("POST", "/__emu/clock", json={"advance_s": 60, "scale": 2})
        back = await caller.request("POST", "/__emu/clock", json={"advance_s": -1})

        assert (moved.json["scale"], back.status) == (2, 422)
        assert (await caller.poll(created)).json["status"] == "succeeded"


async def test_the_fault_table_can_be_read() -> None:
    """GET /__emu/faults lists every fault with its stage, and what is armed."""
    async with calling() as caller:
        caller.state.faults.arm("500", 2)

        seen = await caller.get("/__emu/faults")
        cleared = await caller.request("DELETE", "/__emu/faults")

        assert {row["name"] for row in seen.json["faults"]} == set(FAULTS)
        assert seen.json["armed"] == [{"name": "500", "times_left": 2, "rate": 1.0}]
        assert cleared.json["armed"] == []


@pytest.mark.parametrize(
    "body", [{}, {"name": "no such"}, {"name": "500", "times": 0}, [], {"name": "500", "rate": "x"}]
)
async def test_a_fault_that_cannot_be_armed(body: object) -> None:
    """It is refused with 422, and nothing is armed."""
    async with calling() as caller:
        seen = await caller.request("POST", "/__emu/faults", json=body)

        assert seen.status == 422
        assert caller.state.faults.armed == ()


async def test_the_inside_can_be_seen_and_forgotten() -> None:
    """State, counts and single predictions are readable; forgetting leaves the counts."""
    async with calling() as caller:
        first = await caller.create("one")
        await caller.create("two")

        dump = await caller.get("/__emu/state")
        shown = await caller.get(first.json["urls"]["web"])
        gone = await caller.request("DELETE", f"/__emu/predictions/{first.json['id']}")
        counts = await caller.get("/__emu/counts")

        assert [one["input"]["prompt"] for one in dump.json["results"]] == ["one", "two"]
        assert shown.json == first.json
        assert gone.json == {"forgotten": 1}
        assert (counts.json["predictions"], counts.json["counts"]["created"]) == (1, 2)
        assert (await caller.poll(first)).status == 404


PAGE = {"Origin": "http://evil.example"}
TEXT = {"Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (TEXT, 415),
        ({"Content-Type": ""}, 415),
        (TEXT | PAGE, 415),
        (PAGE, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example:4000"}, 421),
    ],
)
async def test_a_page_from_elsewhere_controls_nothing(headers: dict[str, str], status: int) -> None:
    """Arming a fault is refused as a problem document, and nothing is armed."""
    headers = {"Content-Type": "application/json"} | headers
    async with calling() as caller:
        seen = await caller.request(
            "POST", "/__emu/faults", data=b'{"name": "500"}', headers=headers
        )

        assert seen.status == seen.json["status"] == status
        assert caller.state.faults.armed == ()


@pytest.mark.parametrize("path", ["faults", "clock", "state", "counts", "predictions/x"])
async def test_a_rebound_name_sees_nothing_inside(path: str) -> None:
    """A page whose host was made to lead here is refused where it could read, too."""
    async with calling() as caller:
        seen = await caller.get(f"/__emu/{path}", headers={"Host": "evil.example"})

        assert seen.status == 421
        assert "--allowed-host" in seen.json["detail"]


@pytest.mark.parametrize("path", ["faults", "predictions", "predictions/x"])
async def test_a_page_from_elsewhere_deletes_nothing(path: str) -> None:
    """Disarming and forgetting are changes as well."""
    async with calling() as caller:
        await caller.create()
        caller.state.faults.arm("500", 2)

        seen = await caller.request("DELETE", f"/__emu/{path}", headers=PAGE)

        assert seen.status == 403
        assert (len(caller.state.faults.armed), len(caller.state.predictions)) == (1, 1)


async def test_a_named_host_is_answered() -> None:
    """`allowed_hosts` lets other machines of a test bench in; Replicate's own API asks no host."""
    async with calling(allowed_hosts=("emulator",)) as caller:
        named = await caller.get("/__emu/faults", headers={"Host": "emulator:8901"})
        api = await caller.create(headers={"Host": "other:8901"})

        assert (named.status, api.status) == (200, 201)


def test_an_allowed_host_that_can_never_match() -> None:
    """It is a mistake in the settings, told with what to write."""
    with pytest.raises(ConfigError, match="write 'emulator'"):
        EmulatorSettings(allowed_hosts=("http://emulator:8901",))
