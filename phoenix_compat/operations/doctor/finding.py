"""The result of one check of the doctor; without secrets."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from phoenix_compat.redaction import live_secrets

Status: TypeAlias = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        name: what was checked.
        detail: what was found, a phrase for people.
        remedy: what to do; empty if there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    """The check passed."""
    return Finding(name, "ok", live_secrets.redacted(detail))


def warn(name: str, detail: str, remedy: str) -> Finding:
    """The server works, but something should be changed."""
    return Finding(name, "warn", live_secrets.redacted(detail), remedy)


def fail(name: str, detail: str, remedy: str) -> Finding:
    """The server cannot work like this."""
    return Finding(name, "fail", live_secrets.redacted(detail), remedy)
