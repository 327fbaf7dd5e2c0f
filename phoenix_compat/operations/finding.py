"""What a doctor finds: a name, how it stands, what was seen, and what to do."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One thing that was looked at; `remedy` is empty when nothing is to be done."""

    name: str
    status: Status
    told: str
    remedy: str = ""


def ok(name: str, told: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", told)


def warn(name: str, told: str, remedy: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(name, "warn", told, remedy)


def fail(name: str, told: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(name, "fail", told, remedy)
