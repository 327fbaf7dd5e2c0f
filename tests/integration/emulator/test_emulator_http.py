"""The emulator's HTTP behaviour apart from its faults, over real sockets."""

from __future__ import annotations

import pytest

from tests.unit.emulator.caller import IMAGEN, Seen, calling

HEX = "0123456789abcdef" * 4


def is_problem(seen: Seen, status: int, title: str | None = None) -> bool:
    """An `application/problem+json` of this status and title."""
    kind = seen.headers["Content-Type"].partition(";")[0]
    document = seen.json
    return (seen.status, kind) == (status, "application/problem+json") and (
        document["status"] == status and document.get("title") == title
    )


@pytest.mark.parametrize("authorization", ["", "Token r8_test", "Bearer", "Bearer  "])
async def test_without_a_bearer_token_there_is_nothing(authorization: str) -> None:
    """401 on every route of /v1, and nothing is created."""
    async with calling() as caller:
        headers = {"Authorization": authorization}

        seen = [
            await caller.create(headers=headers),
            await caller.get("/v1/predictions", headers=headers),
        ]

        assert all(is_problem(one, 401, "Unauthenticated") for one in seen)
        assert caller.state.counts["created"] == 0


async def test_a_set_token_is_the_only_one() -> None:
    """With an api_token in the settings another one is refused."""
    async with calling(api_token="r8_right") as caller:
        right = await caller.get("/v1/account", headers={"Authorization": "Bearer r8_right"})
        wrong = await caller.get("/v1/account")

        assert (right.status, wrong.status) == (200, 401)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (IMAGEN, None),
        ("/v1" + IMAGEN, None),
        ("/v1/predictions", "google/imagen-4-fast"),
        ("/v1/predictions", f"someone/something:{HEX}"),
        ("/v1/predictions", HEX),
        ("/v1/deployments/me/mine/predictions", None),
    ],
)
async def test_every_way_to_create(path: str, version: str | None) -> None:
    """All create routes answer 201 with a prediction that can be polled where Location says."""
    async with calling() as caller:
        body = {} if version is None else {"version": version}

        created = await caller.create(path=path, body=body)

        polled = await caller.get(created.headers["Location"])
        assert created.status == 201
        assert polled.json == created.json
        assert created.json["version"] == (HEX if version and HEX in version else "hidden")


@pytest.mark.parametrize(
    ("path", "body", "status", "title"),
    [
        ("/v1/models/google/imagen-9/predictions", {}, 404, None),
        ("/v1/models/stability-ai/sdxl/predictions", {}, 404, None),
        ("/v1/models/emulated/disabled/predictions", {}, 422, "Version disabled"),
        (
            "/v1/predictions",
            {"version": "nobody/nothing"},
            422,
            "Invalid version or not permitted",
        ),
        ("/v1/predictions", {}, 422, "Input validation failed"),
        (IMAGEN, {"model": "x"}, 422, "Input validation failed"),
        (IMAGEN, {"input": {}}, 422, "Input validation failed"),
        (IMAGEN, {"input": {"prompt": "x", "aspect_ratio": "2:1"}}, 422, "Input validation failed"),
    ],
)
async def test_what_cannot_be_created(
    path: str, body: dict[str, object], status: int, title: str | None
) -> None:
    """Each mistake has Replicate's status and title, and creates nothing."""
    async with calling() as caller:
        seen = await caller.create(path=path, body=body)

        assert is_problem(seen, status, title), seen
        assert caller.state.counts["created"] == 0


async def test_an_invalid_input_names_the_field() -> None:
    """`invalid_fields` and `detail` say which value is wrong and which would be right."""
    async with calling() as caller:
        seen = await caller.create(given={"aspect_ratio": "2:1"})

        (field,) = seen.json["invalid_fields"]
        assert (field["type"], field["field"]) == ("enum", "input.aspect_ratio")
        assert seen.json["detail"] == f"- input.aspect_ratio: {field['description']}\n"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"input": NaN}'])
async def test_a_body_that_is_no_json(body: bytes) -> None:
    """It is refused with 400, however it is broken."""
    async with calling() as caller:
        assert is_problem(await caller.request("POST", IMAGEN, data=body), 400, "Bad request")


async def test_a_body_above_the_bound_is_refused() -> None:
    """413, and not a byte more is read than must be."""
    async with calling(max_body_bytes=1000) as caller:
        seen = await caller.create("x" * 2000)

        assert is_problem(seen, 413, "Request entity too large")


@pytest.mark.parametrize(
    "headers", [{"Prefer": "wait=61"}, {"Cancel-After": "4s"}, {"Cancel-After": "soon"}]
)
async def test_headers_that_make_no_sense(headers: dict[str, str]) -> None:
    """A wait or deadline out of range is 422 before anything is created."""
    async with calling() as caller:
        seen = await caller.create(headers=headers)

        assert seen.status == 422
        assert caller.state.counts["created"] == 0


async def test_a_wait_that_ends_in_vain_is_202() -> None:
    """When the time is up the prediction comes as it is, and the preference was applied."""
    async with calling() as caller:
        caller.state.clock.scale(50)

        seen = await caller.create("#fault:stuck_processing", headers={"Prefer": "wait=2"})

        assert (seen.status, seen.json["status"]) == (202, "processing")
        assert seen.headers["Preference-Applied"] == "wait=2"


async def test_a_wait_ends_with_a_failure_too() -> None:
    """A failed prediction is a 201 that says so."""
    async with calling() as caller:
        caller.state.clock.scale(50)

        seen = await caller.create("#fault:E005", headers={"Prefer": "wait"})

        assert (seen.status, seen.json["status"]) == (201, "failed")
        assert seen.headers["Preference-Applied"] == "wait=60"


async def test_creates_are_limited() -> None:
    """Beyond the burst there is 429 until the clock has moved on as far as it says."""
    async with calling(creates_per_minute=6, create_burst=1) as caller:
        first, second = await caller.create(), await caller.create()
        caller.state.clock.advance(second.json["retry_after"])
        third = await caller.create()

        assert [seen.status for seen in (first, second, third)] == [201, 429, 201]
        assert second.headers["Retry-After"] == "10"
        assert first.headers["ratelimit-remaining"] == "0"
        assert first.headers["ratelimit-reset"] == "10"
        assert caller.state.counts["created"] == 2


async def test_polls_have_a_limit_of_their_own() -> None:
    """Everything but creates shares the other bucket."""
    async with calling(requests_per_minute=2) as caller:
        created = await caller.create()

        seen = [await caller.poll(created) for _ in range(3)]

        assert [one.status for one in seen] == [200, 200, 429]
        assert (await caller.create()).status == 201


async def test_the_list_can_be_narrowed() -> None:
    """created_after and created_before take ISO times; nothing here came from the web."""
    async with calling() as caller:
        times = []
        for number in range(3):
            times.append((await caller.create(str(number))).json["created_at"])
            caller.state.clock.advance(1)

        after = await caller.get("/v1/predictions", params={"created_after": times[1]})
        before = await caller.get("/v1/predictions", params={"created_before": times[1]})
        web = await caller.get("/v1/predictions", params={"source": "web"})

        assert [one["input"]["prompt"] for one in after.json["results"]] == ["2", "1"]
        assert [one["input"]["prompt"] for one in before.json["results"]] == ["1", "0"]
        assert web.json == {"previous": None, "next": None, "results": []}


@pytest.mark.parametrize("query", ["created_after=soon", "source=api", "cursor=x"])
async def test_a_list_query_that_makes_no_sense(query: str) -> None:
    """It is refused, not ignored."""
    async with calling() as caller:
        assert (await caller.get(f"/v1/predictions?{query}")).status == 422


async def test_urls_follow_the_host_that_was_asked() -> None:
    """A client that knows the emulator by another name is given that name."""
    async with calling() as caller:
        seen = await caller.create(headers={"Host": "emulator.test:8080"})

        assert seen.json["urls"]["get"].startswith("http://emulator.test:8080/v1/predictions/")
        assert seen.headers["Location"] == seen.json["urls"]["get"]


async def test_the_emulator_keeps_a_bounded_number() -> None:
    """Past the bound the oldest finished predictions are forgotten."""
    async with calling(max_predictions=2) as caller:
        first = await caller.create()
        caller.state.clock.advance(60)

        for _ in range(2):
            await caller.create()

        assert (await caller.poll(first)).status == 404
        assert len(caller.state.predictions) == 2


async def test_unknown_paths_and_methods() -> None:
    """They are problems too, in JSON."""
    async with calling() as caller:
        assert is_problem(await caller.get("/v1/nothing"), 404)
        assert is_problem(await caller.request("PUT", "/v1/predictions"), 405)
