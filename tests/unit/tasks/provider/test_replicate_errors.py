"""Conversion of error answers and SDK exceptions to provider errors."""

from __future__ import annotations

import aiohttp
import httpx
import pytest
import replicate

from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
    RateReducedError,
)
from phoenix_compat.tasks.provider.replicate.errors import answer_error, retry_after_s
from phoenix_compat.tasks.provider.replicate.sdk import never_sent, provider_error

REQUEST = httpx.Request("POST", "https://api.replicate.com/v1/predictions")


def chained(outer: Exception, *causes: Exception) -> Exception:
    """An exception with a chain of causes, as `raise … from …` makes it."""
    link = outer
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return outer


def connector_error() -> aiohttp.ClientConnectorError:
    key = aiohttp.client_reqrep.ConnectionKey("h", 1, True, True, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            chained(
                replicate.APITimeoutError(REQUEST), httpx.ConnectTimeout(""), connector_error()
            ),
            1,
        ),
        (chained(replicate.APIConnectionError(request=REQUEST), httpx.ConnectError("")), 1),
        (
            chained(
                replicate.APITimeoutError(REQUEST),
                httpx.ConnectTimeout(""),
                aiohttp.ConnectionTimeoutError(""),
            ),
            1,
        ),
        (
            chained(
                replicate.APITimeoutError(REQUEST),
                httpx.ConnectTimeout(""),
                aiohttp.ServerDisconnectedError(),
            ),
            0,
        ),
        (
            chained(
                replicate.APITimeoutError(REQUEST),
                httpx.ReadTimeout(""),
                aiohttp.SocketTimeoutError(""),
            ),
            0,
        ),
        (chained(replicate.APIConnectionError(request=REQUEST), httpx.ReadError("")), 0),
        (TimeoutError(), 0),
    ],
)
def test_only_a_failed_connect_counts_as_never_sent(error: Exception, expected: int) -> None:
    """The aiohttp transport reports everything as a connect timeout; only the cause differs."""
    error_class = ProviderUnreachableError if expected else ProviderUncertainError

    assert never_sent(error) is bool(expected)
    assert isinstance(provider_error(error), error_class)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"detail": "You did not pass a valid authentication token"}, "provider_account"),
        (402, {"detail": "You have insufficient credit … billing"}, "provider_account"),
        (403, {"detail": "no"}, "provider_account"),
        (404, {"detail": "The requested resource could not be found."}, "model_unavailable"),
        (422, {"title": "Version disabled", "detail": "This version …"}, "model_unavailable"),
        (
            422,
            {"title": "Invalid version or not permitted", "detail": "The specified version …"},
            "model_unavailable",
        ),
        (413, {"detail": "too large"}, "invalid_input"),
        (400, {"detail": "bad"}, "invalid_input"),
        (409, {"detail": "conflict"}, "provider_unavailable"),
        (302, "<html>", "provider_unavailable"),
        (418, ["a", "list"], "provider_unavailable"),
    ],
)
def test_refusals_have_codes(status: int, body: object, code: str) -> None:
    """A refusal has a stable code, and its text says nothing about the account."""
    error = answer_error(status, body, {})

    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.code) == (status, code)
    assert "billing" not in error.text
    assert "token" not in error.text


def test_a_refused_input_is_explained() -> None:
    """The provider's text about an invalid input is shown to the client."""
    detail = '- input.aspect_ratio: aspect_ratio must be one of the following: "1:1", "16:9"\n'

    error = answer_error(422, {"title": "Input validation failed", "detail": detail}, {})

    assert isinstance(error, ProviderRefusedError)
    assert error.text.startswith("input.aspect_ratio: aspect_ratio must be one of")


@pytest.mark.parametrize(
    "body",
    [
        {
            "title": "Input validation failed",
            "detail": "- input.lora: version does not exist, or use is not permitted",
            "invalid_fields": [{"type": "x", "field": "input.lora", "description": "y"}],
        },
        {
            "title": "Version disabled",
            "detail": "- input.a: b",
            "invalid_fields": [{"field": "input.a"}],
        },
        {"detail": "- input.prompt: 'invalid version' does not exist"},
        {"title": "Input validation failed", "detail": "The specified version does not exist"},
    ],
)
def test_a_refused_input_is_not_a_missing_model(body: dict[str, object]) -> None:
    """C10: words about versions in a text about an input mean nothing."""
    error = answer_error(422, body, {})

    assert isinstance(error, ProviderRefusedError)
    assert error.code == "invalid_input"


def test_a_missing_version_without_a_title() -> None:
    """C10: the provider's own sentence is enough, as a whole."""
    detail = (
        "The specified version does not exist (or perhaps you don't have permission to use it?)"
    )

    error = answer_error(422, {"detail": detail}, {})

    assert isinstance(error, ProviderRefusedError)
    assert error.code == "model_unavailable"


def test_the_name_of_an_input_is_not_private() -> None:
    """C8: an explanation is shown although the input is called max_tokens."""
    body = {
        "title": "Input validation failed",
        "detail": "- input.max_tokens: Must be less than or equal to 4096\n",
        "invalid_fields": [{"type": "number_lte", "field": "input.max_tokens"}],
    }

    error = answer_error(422, body, {})
    quoted = answer_error(
        422, {"detail": "- input.token_style: is unknown"}, {}, frozenset({"token_style"})
    )

    assert isinstance(error, ProviderRefusedError)
    assert isinstance(quoted, ProviderRefusedError)
    assert error.text == "input.max_tokens: Must be less than or equal to 4096"
    assert quoted.text == "input.token_style: is unknown"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
def test_after_a_server_error_the_create_is_uncertain(status: int) -> None:
    """After a 408 or 5xx the create may have taken effect."""
    error = answer_error(status, "<html>", {})

    assert isinstance(error, ProviderUncertainError)
    assert error.status == status


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"retry_after": 5}, {}, 5.0),
        ({"retry_after": "7"}, {"retry-after": "9"}, 7.0),
        ({}, {"retry-after": "9"}, 9.0),
        ({"detail": "Request was throttled. Your rate limit resets in ~30s."}, {}, 30.0),
        ({"retry_after": 0}, {}, 0.0),
        ({"retry_after": 86_400}, {}, 300.0),
        ({"retry_after": -3}, {"retry-after": "2"}, 2.0),
        ({"retry_after": True}, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 5.0),
        (
            {},
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:07 GMT",
                "date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            7.0,
        ),
        (
            {},
            {
                "retry-after": "Wednesday, 21-Oct-26 07:28:07 GMT",
                "date": "Wed Oct 21 07:28:00 2026",
            },
            5.0,
        ),
        ({"retry_after": 1.5e1}, {}, 15.0),
        ({"retry_after": "nan"}, {}, 5.0),
        ("throttled", {}, 5.0),
        (None, {}, 5.0),
    ],
)
def test_the_wait_after_a_429(body: object, headers: dict[str, str], seconds: float) -> None:
    """The wait comes from body, header or text; invalid values are ignored, long ones cut."""
    error = answer_error(429, body, headers)

    assert isinstance(error, ProviderThrottledError)
    assert error.retry_after_s == retry_after_s(body, headers) == seconds


LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per "
    "minute with a burst of 1 requests while you have less than $5.0 in credit. "
    "Your rate limit resets in ~5s."
)


@pytest.mark.parametrize(
    ("detail", "per_minute", "burst"),
    [
        (LOW_CREDIT, 6, 1),
        ("reduced to 60 requests per minute with a burst of 12 requests", 60, 12),
        ("reduced to 1 request per minute", 1, 1),
    ],
)
def test_a_reduced_rate_limit_is_parsed(detail: str, per_minute: int, burst: int) -> None:
    """The rate and burst are taken from the text of the 429."""
    error = answer_error(429, {"detail": detail, "retry_after": 5}, {})

    assert isinstance(error, RateReducedError)
    assert (error.per_minute, error.burst, error.retry_after_s) == (per_minute, burst, 5.0)


@pytest.mark.parametrize(
    "detail",
    [
        "",
        "reduced to 0 requests per minute",
        "reduced to 99999999 requests per minute",
        "slow down",
    ],
)
def test_an_invalid_rate_limit_is_ignored(detail: str) -> None:
    """The error then has only the time to wait."""
    assert type(answer_error(429, {"detail": detail}, {})) is ProviderThrottledError
