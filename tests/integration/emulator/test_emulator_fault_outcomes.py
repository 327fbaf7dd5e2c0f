"""The faults that change what becomes of a prediction, and those of its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from phoenix_compat.emulator.clock import parse_timestamp
from phoenix_compat.emulator.pictures.picture import PictureRequest
from tests.unit.emulator.caller import PATIENCE_S, Caller, calling
from tests.unit.emulator.checks import Check, failed, page, status


@dataclass(frozen=True, slots=True)
class Life:
    """A prediction as polled while it starts, in the middle of its run, and when all is over."""

    start: Any
    middle: Any
    end: Any
    is_listed_at_once: bool
    is_listed_later: bool
    skew_s: float


def ends(expected: str, error: str | None) -> Callable[[Life], bool]:
    """It comes to this status; the error contains this text, or is null."""

    def check(life: Life) -> bool:
        told = life.end["error"]
        is_told = told is None if error is None else error in (told or "")
        return life.end["status"] == expected and is_told and life.end["output"] is None

    return check


def succeeds(output: Callable[[Any], bool]) -> Callable[[Life], bool]:
    """It succeeds with such an output."""
    return lambda life: life.end["status"] == "succeeded" and output(life.end["output"])


OUTCOMES: dict[str, Callable[[Life], bool]] = {
    "slow_start": lambda life: (
        (life.middle["status"], life.end["status"]) == ("starting", "succeeded")
    ),
    "stuck_starting": lambda life: life.end["status"] == "starting",
    "stuck_processing": lambda life: life.end["status"] == "processing",
    "E005": ends("failed", "(E005)"),
    "PA": ends("failed", "(code: PA)"),
    "E003": ends("failed", "(E003)"),
    "director": ends("failed", "Director: unexpected error"),
    "error_null": ends("failed", None),
    "aborted": lambda life: ends("aborted", None)(life) and "started_at" not in life.end,
    "canceled": lambda life: ends("canceled", None)(life) and "started_at" in life.end,
    "status_queued": lambda life: (
        [part["status"] for part in (life.start, life.middle, life.end)]
        == ["queued", "processing", "succeeded"]
    ),
    "status_expired": ends("expired", None),
    "output_null": succeeds(lambda output: output is None),
    "output_empty": succeeds(lambda output: output == []),
    "output_data_url": succeeds(lambda output: output.startswith("data:image/png;base64,")),
    "output_dict": succeeds(lambda output: output["image"].startswith("http")),
    "output_two": succeeds(lambda output: len(output) == 2),
    "logs_null": lambda life: life.middle["logs"] is None and life.end["logs"] is None,
    "logs_cr": lambda life: "\r" in life.middle["logs"] and "\n" not in life.middle["logs"],
    "logs_huge": lambda life: len(life.end["logs"]) >= 5 * 2**20,
    "clock_ahead": lambda life: 599 < life.skew_s < 601,
    "clock_behind": lambda life: -601 < life.skew_s < -599,
    "list_lag": lambda life: not life.is_listed_at_once and life.is_listed_later,
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_an_outcome_fault_changes_the_life(name: str) -> None:
    """What becomes of the prediction is what the fault says, and it strikes one prediction."""
    async with calling() as caller:
        prompt = f"a monk #fault:{name}x1"

        life = await lived(caller, prompt)

        assert OUTCOMES[name](life), life
        assert (await caller.create(prompt)).status == 201
        assert caller.state.faults.totals == {name: 1}


async def lived(caller: Caller, prompt: str) -> Life:
    """Create it and follow it to its end."""
    created = await caller.create(prompt)
    created_at_s = parse_timestamp(created.json["created_at"])
    skew_s = created_at_s - caller.state.clock.now_s()
    documents, listings = [], [await caller.get("/v1/predictions")]
    for seconds in (0.5, 2.0, 100.0):
        caller.state.clock.advance(seconds)
        documents.append((await caller.poll(created)).json)
        listings.append(await caller.get("/v1/predictions"))
    is_listed = [bool(listing.json["results"]) for listing in listings]
    start, middle, end = documents
    return Life(start, middle, end, is_listed[0], is_listed[2], skew_s)


MAX_BYTES = 2**20
FILES: dict[str, Check] = {
    "file_404": status(404),
    "file_403": status(403),
    "file_500": status(500),
    "file_empty": lambda seen: (seen.status, seen.body) == (200, b""),
    "file_html": page(200),
    "file_octets": lambda seen: (
        seen.headers["Content-Type"] == "application/octet-stream"
        and seen.body.startswith(b"\xff\xd8\xff")
    ),
    "file_redirect": lambda seen: (
        seen.status == 302 and seen.headers["Location"].startswith("http://localhost:")
    ),
    "file_too_large": lambda seen: (
        int(seen.headers["Content-Length"]) == MAX_BYTES and len(seen.body) == MAX_BYTES
    ),
    "file_endless": lambda seen: (
        "Content-Length" not in seen.headers and len(seen.body) == MAX_BYTES
    ),
    "file_stalled": failed(TimeoutError),
    "file_cut": failed(aiohttp.ClientPayloadError),
}


@pytest.mark.parametrize("name", FILES)
async def test_a_file_fault_strikes_one_download(name: str) -> None:
    """The prediction succeeds, its first download meets the fault, the second is the picture."""
    async with calling(oversize_bytes=MAX_BYTES) as caller:
        created = await caller.create(f"a monk #fault:{name}x1")
        caller.state.clock.advance(60)
        url = (await caller.poll(created)).json["output"]
        # Drawn before, so that patience is for the fault alone.
        await caller.state.picture_cache.picture(order_of(caller))
        waits = {"patience_s": PATIENCE_S} if name == "file_stalled" else {}

        seen = await caller.get(url, allow_redirects=False, **waits)

        assert FILES[name](seen), (seen.status, seen.headers, seen.failure)
        assert (await caller.get(url)).body.startswith(b"\xff\xd8\xff")


def order_of(caller: Caller) -> PictureRequest:
    """The picture of the only prediction."""
    (prediction,) = caller.state.predictions
    return PictureRequest(prediction.prompt, 1024, 1024, "jpg")


async def test_who_follows_the_redirect_is_noticed() -> None:
    """The other host of the redirect fault answers, and counts who came."""
    async with calling() as caller:
        created = await caller.create("a monk #fault:file_redirect")
        caller.state.clock.advance(60)

        seen = await caller.get((await caller.poll(created)).json["output"])

        assert seen.body.startswith(b"\xff\xd8\xff")
        assert caller.state.counts["redirects_followed"] == 1
