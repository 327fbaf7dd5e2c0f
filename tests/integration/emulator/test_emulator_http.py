"""The emulator's HTTP behaviour without faults, over real sockets."""

from __future__ import annotations

import pytest

from tests.unit.emulator.emulator_client import IMAGEN, Response, emulator_client

HEX = "0123456789abcdef" * 4


def is_problem(response: Response, status: int, title: str | None = None) -> bool:
    """The response is a problem document with this status and title."""
    content_type = response.headers["Content-Type"].partition(";")[0]
    document = response.json
    return (response.status, content_type) == (status, "application/problem+json") and (
        document["status"] == status and document.get("title") == title
    )


@pytest.mark.parametrize("authorization", ["", "Token r8_test", "Bearer", "Bearer  "])
async def test_requests_without_a_bearer_token_are_refused(authorization: str) -> None:
    """Routes under /v1 answer 401, and nothing is created."""
    async with emulator_client() as client:
        headers = {"Authorization": authorization}

        responses = [
            await client.create(headers=headers),
            await client.get("/v1/predictions", headers=headers),
        ]

        assert all(is_problem(one, 401, "Unauthenticated") for one in responses)
        assert client.state.counts["created"] == 0


async def test_only_the_configured_token_is_accepted() -> None:
    """With `api_token` in the settings another token is refused."""
    async with emulator_client(api_token="r8_right") as client:
        right = await client.get("/v1/account", headers={"Authorization": "Bearer r8_right"})
        wrong = await client.get("/v1/account")

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
    """All create routes answer 201 with a prediction that can be polled at `Location`."""
    async with emulator_client() as client:
        body = {} if version is None else {"version": version}

        created = await client.create(path=path, body=body)

        polled = await client.get(created.headers["Location"])
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
async def test_invalid_creates_are_refused(
    path: str, body: dict[str, object], status: int, title: str | None
) -> None:
    """Each error has the status and title that Replicate uses, and nothing is created."""
    async with emulator_client() as client:
        response = await client.create(path=path, body=body)

        assert is_problem(response, status, title), response
        assert client.state.counts["created"] == 0


async def test_an_invalid_input_names_the_field() -> None:
    """`invalid_fields` and `detail` name the field and the allowed values."""
    async with emulator_client() as client:
        response = await client.create(given={"aspect_ratio": "2:1"})

        (field,) = response.json["invalid_fields"]
        assert (field["type"], field["field"]) == ("enum", "input.aspect_ratio")
        assert response.json["detail"] == f"- input.aspect_ratio: {field['description']}\n"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"input": NaN}'])
async def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    """Every kind of invalid JSON gives 400."""
    async with emulator_client() as client:
        assert is_problem(await client.request("POST", IMAGEN, data=body), 400, "Bad request")


async def test_a_body_above_the_limit_is_refused() -> None:
    """A body above `max_body_bytes` gives 413."""
    async with emulator_client(max_body_bytes=1000) as client:
        response = await client.create("x" * 2000)

        assert is_problem(response, 413, "Request entity too large")


@pytest.mark.parametrize(
    "headers", [{"Prefer": "wait=61"}, {"Cancel-After": "4s"}, {"Cancel-After": "soon"}]
)
async def test_invalid_headers_are_refused(headers: dict[str, str]) -> None:
    """An invalid wait or deadline gives 422, and nothing is created."""
    async with emulator_client() as client:
        response = await client.create(headers=headers)

        assert response.status == 422
        assert client.state.counts["created"] == 0


async def test_a_wait_that_times_out_is_202() -> None:
    """After the wait the response has the current state and `Preference-Applied`."""
    async with emulator_client() as client:
        client.state.clock.scale(50)

        response = await client.create("#fault:stuck_processing", headers={"Prefer": "wait=2"})

        assert (response.status, response.json["status"]) == (202, "processing")
        assert response.headers["Preference-Applied"] == "wait=2"


async def test_a_wait_ends_when_the_prediction_fails() -> None:
    """The response is 201 with the status failed."""
    async with emulator_client() as client:
        client.state.clock.scale(50)

        response = await client.create("#fault:E005", headers={"Prefer": "wait"})

        assert (response.status, response.json["status"]) == (201, "failed")
        assert response.headers["Preference-Applied"] == "wait=60"


async def test_creates_are_limited() -> None:
    """Creates beyond the burst get 429 until the stated delay has passed."""
    async with emulator_client(creates_per_minute=6, create_burst=1) as client:
        first, second = await client.create(), await client.create()
        client.state.clock.advance(second.json["retry_after"])
        third = await client.create()

        assert [response.status for response in (first, second, third)] == [201, 429, 201]
        assert second.headers["Retry-After"] == "10"
        assert first.headers["ratelimit-remaining"] == "0"
        assert first.headers["ratelimit-reset"] == "10"
        assert client.state.counts["created"] == 2


async def test_polls_have_a_separate_limit() -> None:
    """All requests other than creates share one limit."""
    async with emulator_client(requests_per_minute=2) as client:
        created = await client.create()

        responses = [await client.poll(created) for _ in range(3)]

        assert [one.status for one in responses] == [200, 200, 429]
        assert (await client.create()).status == 201


async def test_the_list_can_be_filtered() -> None:
    """created_after and created_before take ISO 8601 times; `source=web` matches nothing."""
    async with emulator_client() as client:
        times = []
        for number in range(3):
            times.append((await client.create(str(number))).json["created_at"])
            client.state.clock.advance(1)

        after = await client.get("/v1/predictions", params={"created_after": times[1]})
        before = await client.get("/v1/predictions", params={"created_before": times[1]})
        web = await client.get("/v1/predictions", params={"source": "web"})

        assert [one["input"]["prompt"] for one in after.json["results"]] == ["2", "1"]
        assert [one["input"]["prompt"] for one in before.json["results"]] == ["1", "0"]
        assert web.json == {"previous": None, "next": None, "results": []}


@pytest.mark.parametrize("query", ["created_after=soon", "source=api", "cursor=x"])
async def test_an_invalid_list_query_is_refused(query: str) -> None:
    """An invalid query parameter gives 422 and is not ignored."""
    async with emulator_client() as client:
        assert (await client.get(f"/v1/predictions?{query}")).status == 422


async def test_urls_have_the_host_of_the_request() -> None:
    """A client that uses another host name gets URLs with that name."""
    async with emulator_client() as client:
        response = await client.create(headers={"Host": "emulator.test:8080"})

        assert response.json["urls"]["get"].startswith("http://emulator.test:8080/v1/predictions/")
        assert response.headers["Location"] == response.json["urls"]["get"]


async def test_the_number_of_predictions_is_limited() -> None:
    """Above the limit the oldest finished predictions are deleted."""
    async with emulator_client(max_predictions=2) as client:
        first = await client.create()
        client.state.clock.advance(60)

        for _ in range(2):
            await client.create()

        assert (await client.poll(first)).status == 404
        assert len(client.state.predictions) == 2


async def test_unknown_paths_and_methods() -> None:
    """Unknown paths give 404 and wrong methods 405, as problem documents."""
    async with emulator_client() as client:
        assert is_problem(await client.get("/v1/nothing"), 404)
        assert is_problem(await client.request("PUT", "/v1/predictions"), 405)
