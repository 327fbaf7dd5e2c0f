"""The faults of the stages outcome and file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from phoenix_compat.emulator.clock import parse_timestamp
from phoenix_compat.emulator.pictures.picture_request import PictureRequest
from tests.unit.emulator.checks import Check, failed, page, status
from tests.unit.emulator.emulator_client import NO_ANSWER_TIMEOUT_S, EmulatorClient, emulator_client


@dataclass(frozen=True, slots=True)
class Run:
    """The documents of a prediction: while it starts, in the middle of its run, and at its end."""

    start: Any
    middle: Any
    end: Any
    is_listed_at_once: bool
    is_listed_later: bool
    skew_s: float


def ends(expected: str, error: str | None) -> Callable[[Run], bool]:
    """The prediction ends with this status; the error contains this text, or is null."""

    def check(run: Run) -> bool:
        reported = run.end["error"]
        is_expected = reported is None if error is None else error in (reported or "")
        return run.end["status"] == expected and is_expected and run.end["output"] is None

    return check


def succeeds(output: Callable[[Any], bool]) -> Callable[[Run], bool]:
    """The prediction succeeds, and its output fulfils this condition."""
    return lambda run: run.end["status"] == "succeeded" and output(run.end["output"])


OUTCOMES: dict[str, Callable[[Run], bool]] = {
    "slow_start": lambda run: (
        (run.middle["status"], run.end["status"]) == ("starting", "succeeded")
    ),
    "stuck_starting": lambda run: run.end["status"] == "starting",
    "stuck_processing": lambda run: run.end["status"] == "processing",
    "E005": ends("failed", "(E005)"),
    "PA": ends("failed", "(code: PA)"),
    "E003": ends("failed", "(E003)"),
    "director": ends("failed", "Director: unexpected error"),
    "safety_system": ends("failed", "by the safety system"),
    "policies": ends("failed", "may violate our policies"),
    "queue_limit": ends("failed", "queue reached limit"),
    "error_quotes": ends("failed", "a monk #fault:error_quotesx1"),
    "error_null": ends("failed", None),
    "aborted": lambda run: ends("aborted", None)(run) and "started_at" not in run.end,
    "canceled": lambda run: ends("canceled", None)(run) and "started_at" in run.end,
    "status_queued": lambda run: (
        [part["status"] for part in (run.start, run.middle, run.end)]
        == ["queued", "processing", "succeeded"]
    ),
    "status_expired": ends("expired", None),
    "output_null": succeeds(lambda output: output is None),
    "output_empty": succeeds(lambda output: output == []),
    "output_data_url": succeeds(lambda output: output.startswith("data:image/png;base64,")),
    "output_dict": succeeds(lambda output: output["image"].startswith("http")),
    "output_two": succeeds(lambda output: len(output) == 2),
    "output_long_text": succeeds(lambda output: len(output) == 2_500),
    "output_many_tokens": succeeds(lambda output: len(output) == 20_000),
    "output_odd_text": succeeds(lambda output: "data: not data\nevent: done\n" in output),
    "output_transcript": succeeds(lambda output: output["transcription"].startswith("Once")),
    "output_label": succeeds(lambda output: output == {"label": "cat", "score": 0.98}),
    "output_number": succeeds(lambda output: output == 42),
    "filtered_one": lambda run: (
        len(run.end["output"]) == 3 and "detected in image 2" in run.end["logs"]
    ),
    "filtered_black": lambda run: "A black image will be returned" in run.end["logs"],
    "logs_quote": lambda run: run.end["logs"].endswith("\na monk #fault:logs_quotex1\n"),
    "logs_download": lambda run: "100%" in run.middle["logs"],
    "logs_null": lambda run: run.middle["logs"] is None and run.end["logs"] is None,
    "logs_cr": lambda run: "\r" in run.middle["logs"] and "\n" not in run.middle["logs"],
    "logs_huge": lambda run: len(run.end["logs"]) >= 5 * 2**20,
    "clock_ahead": lambda run: 599 < run.skew_s < 601,
    "clock_behind": lambda run: -601 < run.skew_s < -599,
    "list_lag": lambda run: not run.is_listed_at_once and run.is_listed_later,
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_an_outcome_fault_changes_the_prediction(name: str) -> None:
    """The prediction runs as the fault says, and the next prediction is not affected."""
    async with emulator_client() as client:
        prompt = f"a monk #fault:{name}x1"

        run = await observed_run(client, prompt)

        assert OUTCOMES[name](run), run
        assert (await client.create(prompt)).status == 201
        assert client.state.faults.totals == {name: 1}


async def observed_run(client: EmulatorClient, prompt: str) -> Run:
    """Create a prediction and poll it until its end."""
    created = await client.create(prompt)
    created_at_s = parse_timestamp(created.json["created_at"])
    skew_s = created_at_s - client.state.clock.now_s()
    documents, listings = [], [await client.get("/v1/predictions")]
    for seconds in (0.5, 2.0, 100.0):
        client.state.clock.advance(seconds)
        documents.append((await client.poll(created)).json)
        listings.append(await client.get("/v1/predictions"))
    is_listed = [bool(listing.json["results"]) for listing in listings]
    start, middle, end = documents
    return Run(start, middle, end, is_listed[0], is_listed[2], skew_s)


MAX_BYTES = 2**20
FILES: dict[str, Check] = {
    "file_404": status(404),
    "file_403": status(403),
    "file_500": status(500),
    "file_empty": lambda response: (response.status, response.body) == (200, b""),
    "file_html": page(200),
    "file_octets": lambda response: (
        response.headers["Content-Type"] == "application/octet-stream"
        and response.body.startswith(b"\xff\xd8\xff")
    ),
    "file_redirect": lambda response: (
        response.status == 302 and response.headers["Location"].startswith("http://localhost:")
    ),
    "file_too_large": lambda response: (
        int(response.headers["Content-Length"]) == MAX_BYTES and len(response.body) == MAX_BYTES
    ),
    "file_endless": lambda response: (
        "Content-Length" not in response.headers and len(response.body) == MAX_BYTES
    ),
    "file_stalled": failed(TimeoutError),
    "file_cut": failed(aiohttp.ClientPayloadError),
}


@pytest.mark.parametrize("name", FILES)
async def test_a_file_fault_applies_to_one_download(name: str) -> None:
    """The first download has the fault, the second returns the picture."""
    async with emulator_client(oversize_bytes=MAX_BYTES) as client:
        created = await client.create(f"a monk #fault:{name}x1")
        client.state.clock.advance(60)
        url = (await client.poll(created)).json["output"]
        # Drawn in advance, so that the timeout covers only the fault.
        await client.state.picture_cache.picture(picture_request_of(client))
        waits = {"timeout_s": NO_ANSWER_TIMEOUT_S} if name == "file_stalled" else {}

        response = await client.get(url, allow_redirects=False, **waits)

        assert FILES[name](response), (response.status, response.headers, response.failure)
        assert (await client.get(url)).body.startswith(b"\xff\xd8\xff")


def picture_request_of(client: EmulatorClient) -> PictureRequest:
    """The request for the picture of the only prediction."""
    (prediction,) = client.state.predictions
    return PictureRequest(prediction.prompt, 1024, 1024, "jpg")


async def test_followed_redirects_are_counted() -> None:
    """The target of the redirect fault answers, and the request is counted."""
    async with emulator_client() as client:
        created = await client.create("a monk #fault:file_redirect")
        client.state.clock.advance(60)

        response = await client.get((await client.poll(created)).json["output"])

        assert response.body.startswith(b"\xff\xd8\xff")
        assert client.state.counts["redirects_followed"] == 1
