"""Loads the cases from the vector files, for one version of Phoenix and its transports.

    vectors/phoenix-1.8.json   recorded from Phoenix, not edited
    vectors/catalog.json       what each recorded case shows: id, level, source, differences
    vectors/written.json       cases that were written from the specification, in the same format
    vectors/profiles.json      the versions, and the HTTP servers, that differ on the wire

See vectors/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from phoenix_compat.conformance.suite.cases import (
    JSON,
    TRANSPORTS,
    Case,
    Level,
    Transport,
    parse_case,
)
from phoenix_compat.errors import ConfigError

LATEST = "1.8.12"
"""The profile that was recorded."""


def read_vectors(name: str) -> Any:
    """The JSON of one vector file, for example `catalog.json` or `data/presence.json`."""
    folder = resources.files("phoenix_compat.conformance") / "vectors"
    return json.loads(folder.joinpath(*name.split("/")).read_text(encoding="utf-8"))


@cache
def profiles() -> tuple[str, ...]:
    """The supported versions of Phoenix, oldest first."""
    return tuple(_described())


def load_vectors(path: Path | None = None) -> list[Case]:
    """The cases of a recording, by default phoenix-1.8.json, under their recorded names."""
    document = (
        read_vectors("phoenix-1.8.json")
        if path is None
        else json.loads(path.read_text(encoding="utf-8"))
    )
    return [parse_case(case) for case in document["cases"]]


def load_suite(profile: str = LATEST, transports: Collection[Transport] = TRANSPORTS) -> list[Case]:
    """Every case of a profile, once for each of the transports that supports it.

    Raises:
        ConfigError: the profile does not exist.
    """
    _require(profile)
    return [
        case
        for raw in _raw_cases()
        if _applies(raw.get("profiles", profiles()), profile)
        for case in _over(parse_case(_as_in(raw, profile)), raw["transports"])
        if case.transport in transports
    ]


def rules_left_out(profile: str) -> frozenset[str]:
    """The ids of the rules of the trace checker that this version breaks itself.

    Raises:
        ConfigError: the profile does not exist.
    """
    _require(profile)
    return frozenset(
        rule
        for difference in read_vectors("profiles.json")["differences"]
        if _differs(difference, profile)
        for rule in difference.get("rules", ())
    )


def select(
    cases: Iterable[Case],
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    levels: Collection[Level] = (),
) -> list[Case]:
    """Filter cases by name and level.

    Args:
        only, without: ids, beginnings of ids up to a slash, or patterns with `*`.
        levels: only these levels; if empty, all.
    """
    return [
        case
        for case in cases
        if (not only or any(is_named(case, pattern) for pattern in only))
        and not any(is_named(case, pattern) for pattern in without)
        and (not levels or case.level in levels)
    ]


def is_named(case: Case, pattern: str) -> bool:
    """Whether a pattern names the case: `join`, `join/duplicate`, `join/*/order`, a whole id.

    A pattern may also be the case's name in the recording.
    """
    area = pattern.rstrip("/")
    return (
        case.id == area
        or case.id.startswith(f"{area}/")
        or case.recorded_as == pattern
        or ("*" in pattern and fnmatchcase(case.id, pattern))
    )


def _raw_cases() -> list[Mapping[str, JSON]]:
    recorded = {case["name"]: case for case in read_vectors("phoenix-1.8.json")["cases"]}
    catalog = read_vectors("catalog.json")["cases"]
    return [
        *({**recorded[entry["name"]], **entry} for entry in catalog),
        *read_vectors("written.json")["cases"],
    ]


@cache
def _lineage(profile: str) -> frozenset[str]:
    """The profile, and those that it is like."""
    found = _described()[profile]
    return frozenset([profile]) | (_lineage(found["like"]) if "like" in found else frozenset())


@cache
def _described() -> Mapping[str, Mapping[str, JSON]]:
    return {profile["name"]: profile for profile in read_vectors("profiles.json")["profiles"]}


def _require(profile: str) -> None:
    if profile not in profiles():
        raise ConfigError(f"no profile {profile!r}: choose from {', '.join(profiles())}")


def _differs(difference: Mapping[str, JSON], profile: str) -> bool:
    return _applies(difference.get("profiles", ()), profile) or _described()[profile][
        "server"
    ] in difference.get("servers", ())


def _applies(names: Collection[str], profile: str) -> bool:
    return not _lineage(profile).isdisjoint(names)


def _as_in(raw: Mapping[str, JSON], profile: str) -> Mapping[str, JSON]:
    """The case with the answers, and the level, of this profile."""
    differences = [
        difference for difference in raw.get("differences", ()) if _differs(difference, profile)
    ]
    changed = {
        int(number): expect
        for difference in differences
        for number, expect in difference.get("expect", {}).items()
    }
    levels = [difference["level"] for difference in differences if "level" in difference]
    steps = [
        {**step, "expect": changed.get(number, step.get("expect", {}))}
        for number, step in enumerate(raw["steps"], start=1)
    ]
    return {**raw, "steps": steps, "level": [raw["level"], *levels][-1]}


def _over(case: Case, transports: Collection[Transport]) -> list[Case]:
    """The case for each transport; a case for long-polling only is already written in HTTP."""
    if "websocket" not in transports:
        return [replace(case, transport="longpoll")]
    return [case, case.over_longpoll()] if "longpoll" in transports else [case]
