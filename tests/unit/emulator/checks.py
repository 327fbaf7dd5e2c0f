"""What a client may see of a fault, as predicates on what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.emulator.caller import Seen

Check = Callable[[Seen], bool]


def status(expected: int, **keys: Any) -> Check:
    """The answer has this status, and these keys in its JSON body."""

    def check(seen: Seen) -> bool:
        is_json = seen.headers.get("Content-Type", "").startswith("application/problem+json")
        is_same = seen.status == expected and is_json and seen.json["status"] == expected
        return is_same and all(seen.json.get(key) == value for key, value in keys.items())

    return check


def throttled(body_s: int | None, header_s: int | None) -> Check:
    """429 with these waits in body and header, None for not there."""

    def check(seen: Seen) -> bool:
        header = seen.headers.get("Retry-After")
        is_header = header == (None if header_s is None else str(header_s))
        return status(429)(seen) and seen.json.get("retry_after") == body_s and is_header

    return check


def page(expected: int) -> Check:
    """An HTML page with this status."""
    return lambda seen: (
        seen.status == expected
        and seen.headers["Content-Type"].startswith("text/html")
        and seen.body.startswith(b"<!DOCTYPE html>")
    )


def failed(*kinds: type[Exception]) -> Check:
    """No whole answer came, but one of these."""
    return lambda seen: isinstance(seen.failure, kinds)


def is_broken_json(seen: Seen) -> bool:
    """It says that it is JSON and cannot be read as such."""
    try:
        _ = seen.json
    except ValueError:
        return seen.headers["Content-Type"].startswith("application/json")
    return False


def is_prediction(seen: Seen) -> bool:
    """A whole and honest answer."""
    return seen.status in (200, 201) and len(seen.json["id"]) == 26
