"""What answers and exceptions of the SDK mean."""

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
from phoenix_compat.tasks.provider.replicate_errors import (
    answer_error,
    never_sent,
    provider_error,
    retry_after_s,
)

REQUEST = httpx.Request("POST", "https://api.replicate.com/v1/predictions")


def caused(outer: Exception, *causes: Exception) -> Exception:
    """The exception as `raise … from …` leaves it."""
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
            caused(replicate.APITimeoutError(REQUEST), httpx.ConnectTimeout(""), connector_error()),
            1,
        ),
        (caused(replicate.APIConnectionError(request=REQUEST), httpx.ConnectError("")), 1),
        (
            caused(
                replicate.APITimeoutError(REQUEST),
                httpx.ConnectTimeout(""),
                aiohttp.ConnectionTimeoutError(""),
            ),
            1,
        ),
        (
            caused(
                replicate.APITimeoutError(REQUEST),
                httpx.ConnectTimeout(""),
                aiohttp.ServerDisconnectedError(),
            ),
            0,
        ),
        (
            caused(
                replicate.APITimeoutError(REQUEST),
                httpx.ReadTimeout(""),
                aiohttp.SocketTimeoutError(""),
            ),
            0,
        ),
        (caused(replicate.APIConnectionError(request=REQUEST), httpx.ReadError("")), 0),
        (TimeoutError(), 0),
    ],
)
def test_only_a_connection_that_was_never_made_is_never_sent(
    error: Exception, expected: int
) -> None:
    """The aiohttp transport calls everything a connect timeout; its cause tells the truth."""
    kind = ProviderUnreachableError if expected else ProviderUncertainError

    assert never_sent(error) is bool(expected)
    assert isinstance(provider_error(error), kind)


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
    """A refusal is a stable word, and its text is never the vendor's about an account."""
    error = answer_error(status, body, {})

    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.code) == (status, code)
    assert "billing" not in error.text
    assert "token" not in error.text


def test_a_refused_input_is_explained() -> None:
    """The provider's words about the input reach the client: they say what to change."""
    detail = '- input.aspect_ratio: aspect_ratio must be one of the following: "1:1", "16:9"\n'

    error = answer_error(422, {"title": "Input validation failed", "detail": detail}, {})

    assert isinstance(error, ProviderRefusedError)
    assert error.text.startswith("input.aspect_ratio: aspect_ratio must be one of")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
def test_server_errors_say_nothing_about_the_order(status: int) -> None:
    """After a 5xx the order may have been taken."""
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
        ({"retry_after": "nan"}, {}, 5.0),
        ("throttled", {}, 5.0),
        (None, {}, 5.0),
    ],
)
def test_a_throttle_says_how_long(body: object, headers: dict[str, str], seconds: float) -> None:
    """Body, then header, then text; never more than five minutes, never nonsense."""
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
def test_a_reduced_limit_is_read(detail: str, per_minute: int, burst: int) -> None:
    """The text of a 429 says how fast orders may be."""
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
def test_a_limit_that_makes_no_sense_is_none(detail: str) -> None:
    """Then only the wait is heeded."""
    assert type(answer_error(429, {"detail": detail}, {})) is ProviderThrottledError
