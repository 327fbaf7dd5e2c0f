"""Parses and validates the headers of a create, `Prefer` and `Cancel-After`."""

from __future__ import annotations

import re

from phoenix_compat.emulator.problem import invalid_request

_DEFAULT_WAIT_S = 60
_WAIT = re.compile(r"wait(?:=(?P<seconds>\d{1,4}))?")
_DURATION = re.compile(r"(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,6})m)?(?:(?P<s>\d{1,8})s?)?")
_MIN_CANCEL_AFTER_S = 5


def wait_seconds(prefer: str | None) -> int | None:
    """The wait in seconds that `Prefer` asks for; None when it asks for none.

    Raises:
        ProblemError: 422, the wait is not between 1 and 60 seconds.
    """
    match = _WAIT.fullmatch((prefer or "").strip())
    if match is None:
        # RFC 7240: unknown preferences are ignored.
        return None
    seconds = int(match["seconds"] or _DEFAULT_WAIT_S)
    if not 1 <= seconds <= _DEFAULT_WAIT_S:
        raise invalid_request("Prefer: wait must be between 1 and 60 seconds")
    return seconds


def cancel_after_seconds(value: str | None) -> int | None:
    """The duration of `Cancel-After` (`30`, `30s`, `5m`, `1h30m45s`) in seconds; None without one.

    Raises:
        ProblemError: 422, the duration is invalid or below 5 s.
    """
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip())
    if match is None or not value.strip():
        raise invalid_request("Cancel-After: must be a duration such as 30s, 5m or 1h30m45s")
    seconds = 3600 * int(match["h"] or 0) + 60 * int(match["m"] or 0) + int(match["s"] or 0)
    if seconds < _MIN_CANCEL_AFTER_S:
        raise invalid_request("Cancel-After: must be at least 5 seconds")
    return seconds
