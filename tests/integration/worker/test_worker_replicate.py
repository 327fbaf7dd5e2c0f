"""The Replicate provider: the requests it sends, and how it interprets each answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import msgspec
import pytest

from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionState
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.replicate.sdk import MAX_ANSWER_BYTES
from tests.integration.worker.fake_provider import START, ref
from tests.integration.worker.replicate_http import (
    BASE_URL,
    CREATE_URL,
    TOKEN,
    ReplicateHttp,
    replicate_http,
)
from tests.unit.tasks.sample_tasks import make_task

GET_URL = f"{CREATE_URL}/p-1"
LIST_URL = re.compile(re.escape(CREATE_URL) + r"\?.*")


@pytest.fixture
def service() -> Iterator[ReplicateHttp]:
    with replicate_http() as fake:
        yield fake


@pytest.fixture
async def provider(service: ReplicateHttp) -> AsyncIterator[ReplicateProvider]:
    opened = ReplicateProvider(token=TOKEN, base_url=BASE_URL, deadline_s=90.0)
    yield opened
    await opened.close()


async def error_of_create(provider: ReplicateProvider) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        await provider.submit(make_task())
    return raised.value


async def test_a_create_is_one_post(provider: ReplicateProvider, service: ReplicateHttp) -> None:
    """It contains the model, the input, the token and the deadline, and nothing else."""
    service.mock.post(CREATE_URL, status=201, payload={"id": "p-1", "status": "starting"})

    assert await provider.submit(make_task()) == ref()

    (sent,) = service.requests("POST")
    assert sent["body"] == {
        "version": "google/imagen-4-fast",
        "input": {"prompt": "Medieval monk"},
    }
    assert sent["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert sent["headers"]["cancel-after"] == "90s"
    assert "prefer" not in sent["headers"]


async def test_a_task_may_have_its_own_deadline_and_model(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """The values in the task's row take precedence over those of the provider."""
    service.mock.post(CREATE_URL, status=201, payload={"id": "p-1"}, repeat=True)

    await provider.submit(make_task(deadline_s=30.0, provider_model="google/nano-banana-2"))
    await provider.submit(make_task(deadline_s=1.0))

    first, second = service.requests("POST")
    assert first["body"]["version"] == "google/nano-banana-2"
    assert first["headers"]["cancel-after"] == "30s"
    assert second["headers"]["cancel-after"] == "5s"  # the minimum that Replicate accepts


async def test_a_create_names_the_webhook_url(service: ReplicateHttp) -> None:
    """The URL contains the task's id and a tag that only this server can make."""
    service.mock.post(CREATE_URL, status=201, payload={"id": "p-1"})
    url = "https://us.example/webhooks/replicate"
    provider = ReplicateProvider(token=TOKEN, base_url=BASE_URL, webhook_url=url)

    await provider.submit(make_task())
    await provider.close()

    (sent,) = service.requests("POST")
    tag = provider.tags.tag("t-1")
    assert sent["body"]["webhook"] == f"{url}?task=t-1&tag={tag}"
    assert sent["body"]["webhook_events_filter"] == ["start", "output", "logs", "completed"]
    assert TOKEN not in sent["body"]["webhook"]


SECRET_URL = f"{BASE_URL}/webhooks/default/secret"


async def test_the_webhook_secret_is_fetched(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """One GET returns it; an answer without a secret is an uncertain one."""
    service.mock.get(SECRET_URL, payload={"key": "whsec_x"})
    service.mock.get(SECRET_URL, payload={"key": 5})

    assert await provider.webhook_secret() == "whsec_x"
    with pytest.raises(ProviderUncertainError):
        await provider.webhook_secret()


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (401, {"title": "Unauthenticated", "detail": "invalid token"}, "provider_account"),
        (402, {"detail": "insufficient credit, see billing"}, "provider_account"),
        (403, {"detail": "permission"}, "provider_account"),
        (404, {"detail": "could not be found"}, "model_unavailable"),
        (413, {"detail": "too large"}, "invalid_input"),
        (422, {"title": "Input validation failed", "detail": "- prompt: …"}, "invalid_input"),
        (422, {"title": "Version disabled", "detail": "…"}, "model_unavailable"),
        (302, None, "provider_unavailable"),
    ],
)
async def test_a_refusal_is_final(
    provider: ReplicateProvider, service: ReplicateHttp, status: int, answer: Any, code: str
) -> None:
    """A refused create is sent once and has an error code; its text says nothing of the account."""
    service.mock.post(CREATE_URL, status=status, payload=answer)
    service.mock.get(f"{BASE_URL}/models/google/imagen-4-fast", status=404)

    error = await error_of_create(provider)

    assert isinstance(error, ProviderRefusedError)
    assert error.code == code
    assert "billing" not in error.text
    assert len(service.requests("POST")) == 1


async def test_a_redirect_is_not_followed(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """The token is sent only to the configured address."""
    elsewhere = "https://elsewhere.example/v1/predictions"
    service.mock.post(CREATE_URL, status=307, headers={"Location": elsewhere})
    service.mock.post(elsewhere, status=201, payload={"id": "p-1"})

    assert isinstance(await error_of_create(provider), ProviderRefusedError)
    assert len(service.requests("POST")) == 1


async def test_a_community_model_runs_by_its_latest_version(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """When a model's name is refused, its latest version is looked up once and then reused."""
    task = msgspec.structs.replace(make_task(), model="you/yours")
    refusal = {"title": "Invalid version or not permitted", "detail": "does not exist"}
    model = {"is_official": False, "latest_version": {"id": "abc123"}}
    service.mock.post(CREATE_URL, status=422, payload=refusal)
    service.mock.get(f"{BASE_URL}/models/you/yours", payload=model)
    service.mock.post(CREATE_URL, status=201, payload={"id": "p-1"}, repeat=True)

    assert await provider.submit(task) == await provider.submit(task) == ref()

    versions = [sent["body"]["version"] for sent in service.requests("POST")]
    assert versions == ["you/yours", "you/yours:abc123", "you/yours:abc123"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 404, "payload": {"detail": "no"}}, ProviderRefusedError),
        ({"payload": {"is_official": True, "latest_version": {"id": "a"}}}, ProviderRefusedError),
        ({"payload": {"latest_version": None}}, ProviderRefusedError),
        ({"payload": {"latest_version": {"id": "../x"}}}, ProviderRefusedError),
        ({"payload": []}, ProviderRefusedError),
        ({"status": 429, "payload": {"retry_after": 1}}, ProviderThrottledError),
        ({"status": 502, "body": ""}, ProviderUnreachableError),
    ],
)
async def test_a_model_without_a_version_stays_refused(
    provider: ReplicateProvider,
    service: ReplicateHttp,
    answer: dict[str, Any],
    expected: type[ProviderError],
) -> None:
    """Without a version no second create is sent, and a failed lookup is never uncertain."""
    service.mock.post(CREATE_URL, status=404, payload={"detail": "not found"})
    service.mock.get(f"{BASE_URL}/models/google/imagen-4-fast", **answer)

    assert type(await error_of_create(provider)) is expected
    assert len(service.requests("POST")) == 1


async def test_a_429_says_how_long_to_wait(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """The error has the wait in seconds, and the SDK does not repeat the request."""
    service.mock.post(CREATE_URL, status=429, payload={"retry_after": 7}, repeat=True)

    error = await error_of_create(provider)

    assert isinstance(error, ProviderThrottledError)
    assert error.retry_after_s == 7.0
    assert len(service.requests("POST")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "payload": {"detail": "Internal server error"}},
        {"status": 502, "body": "<html>Bad Gateway</html>"},
        {"status": 503, "body": ""},
        {"status": 500, "payload": ["a", "list"]},
        {"status": 200, "body": "<html>Log in</html>", "content_type": "text/html"},
        {"status": 201, "body": '{"id": "p-', "content_type": "application/json"},
        {"status": 201, "body": "", "content_type": "application/json"},
        {"status": 201, "payload": None},
        {"status": 201, "payload": ["p-1"]},
        {"status": 201, "payload": {}},
        {"status": 201, "payload": {"id": None}},
        {"status": 201, "payload": {"id": ""}},
        {"status": 201, "payload": {"id": 7}},
        {"status": 201, "payload": {"id": "p-1", "status": 7}},
        {"status": 201, "body": b"\xff\xfe", "content_type": "application/json"},
        {"exception": aiohttp.ServerDisconnectedError()},
        {"exception": aiohttp.SocketTimeoutError("read")},
        {"exception": aiohttp.ClientPayloadError("cut")},
        {"exception": aiohttp.ClientOSError(104, "reset")},
        {"timeout": True},
    ],
)
async def test_an_unusable_answer_is_uncertain(
    provider: ReplicateProvider, service: ReplicateHttp, answer: dict[str, Any]
) -> None:
    """After any of these answers the create may have arrived; it is sent exactly once."""
    service.mock.post(CREATE_URL, repeat=True, **answer)

    error = await error_of_create(provider)

    assert isinstance(error, ProviderUncertainError)
    assert len(service.requests("POST")) == 1


async def test_an_answer_that_is_too_long_is_refused(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """No more than `MAX_ANSWER_BYTES` are read."""
    service.mock.get(GET_URL, body=b"x" * (MAX_ANSWER_BYTES + 1))

    with pytest.raises(ProviderUncertainError):
        await provider.fetch(ref())


async def test_a_refused_connection_is_unreachable(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """The create was certainly not sent, so it is safe to repeat."""
    key = aiohttp.client_reqrep.ConnectionKey("h", 1, True, True, None, None, None)
    refused = aiohttp.ClientConnectorError(key, OSError(111, "refused"))
    service.mock.post(CREATE_URL, exception=refused)

    assert isinstance(await error_of_create(provider), ProviderUnreachableError)


async def test_a_prediction_is_read_leniently(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """Missing keys, nulls and unknown keys are accepted."""
    answer = {"id": "p-1", "status": "succeeded", "output": ["https://x/1"], "logs": None, "new": 1}
    service.mock.get(GET_URL, payload=answer)

    snapshot = await provider.fetch(ref())

    assert (snapshot.state, snapshot.output) == (PredictionState.SUCCEEDED, ["https://x/1"])
    assert (snapshot.logs, snapshot.error_text) == ("", "")


async def test_a_cancel_answers_with_the_prediction(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """The answer to a cancel has the state of the prediction, so no poll is needed."""
    service.mock.post(f"{GET_URL}/cancel", payload={"id": "p-1", "status": "canceled"})

    assert (await provider.cancel(ref())).state is PredictionState.CANCELED


async def test_predictions_are_found_by_model_and_input(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """All pages are read, entries that do not match or are invalid are skipped; oldest first."""
    matching = {"model": "google/imagen-4-fast", "input": {"prompt": "Medieval monk"}}
    other = {"model": "google/imagen-4-fast", "input": {"prompt": "Another"}}
    page_2 = "https://elsewhere.example/v1/predictions?cursor=abc"
    results = [{"id": "p-4", **matching}, {"id": "p-3", **other}, {"model": 7}, "invalid"]
    service.mock.get(LIST_URL, payload={"next": page_2, "results": results})
    results = [{"id": "p-2", **matching}, {"id": "p-1", "model": None, "input": None}]
    service.mock.get(LIST_URL, payload={"next": None, "results": results})

    found = await provider.find(START, make_task())

    assert found.ours == [PredictionRef("p-2"), PredictionRef("p-4")]
    assert found.maybe == [PredictionRef("p-1")]
    first, second = service.requests("GET")
    assert first["url"].endswith("created_after=2026-01-05T10:00:00.000Z")
    assert second["url"].startswith(CREATE_URL)
    assert "cursor=abc" in second["url"]


async def test_a_list_has_a_limit_of_pages(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """At most ten pages are read, even if there is a next one."""
    page = {"next": f"{CREATE_URL}?cursor=again", "results": []}
    service.mock.get(LIST_URL, payload=page, repeat=True)

    assert await provider.find(START, make_task()) == ([], [])
    assert len(service.requests("GET")) == 10


async def test_an_id_cannot_change_the_path(
    provider: ReplicateProvider, service: ReplicateHttp
) -> None:
    """A stored id with slashes and dots stays one segment of the path."""
    service.mock.get(re.compile(".*"), status=404, payload={"detail": "no"})

    with pytest.raises(ProviderRefusedError):
        await provider.fetch(ref("../account?x=1"))

    (sent,) = service.requests("GET")
    assert "/predictions/" in sent["url"]
    assert "account?" not in sent["url"]
