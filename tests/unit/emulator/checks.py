"""Predicates that check the response of a client that met a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.emulator.emulator_client import Response

Check = Callable[[Response], bool]


def status(expected: int, **keys: Any) -> Check:
    """A problem document with this status and these keys."""

    def check(response: Response) -> bool:
        is_json = response.headers.get("Content-Type", "").startswith("application/problem+json")
        is_same = response.status == expected and is_json and response.json["status"] == expected
        return is_same and all(response.json.get(key) == value for key, value in keys.items())

    return check


def throttled(body_s: int | None, header_s: int | None) -> Check:
    """429 with these delays in body and header; None means that the value is absent."""

    def check(response: Response) -> bool:
        header = response.headers.get("Retry-After")
        is_header = header == (None if header_s is None else str(header_s))
        return status(429)(response) and response.json.get("retry_after") == body_s and is_header

    return check


def page(expected: int) -> Check:
    """An HTML page with this status."""
    return lambda response: (
        response.status == expected
        and response.headers["Content-Type"].startswith("text/html")
        and response.body.startswith(b"<!DOCTYPE html>")
    )


def failed(*errors: type[Exception]) -> Check:
    """The request raised one of these exceptions."""
    return lambda response: isinstance(response.failure, errors)


def is_broken_json(response: Response) -> bool:
    """The body is labeled as JSON but is not valid JSON."""
    try:
        _ = response.json
    except ValueError:
        return response.headers["Content-Type"].startswith("application/json")
    return False


def is_prediction(response: Response) -> bool:
    """A complete, successful response with a prediction."""
    return response.status in (200, 201) and len(response.json["id"]) == 26
