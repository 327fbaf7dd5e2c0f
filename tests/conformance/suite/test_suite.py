"""The suite loads every case of the vector files, for each profile and transport."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.conformance.suite.cases import Case, Open
from phoenix_compat.conformance.suite.catalog import (
    LATEST,
    load_suite,
    load_vectors,
    profiles,
    read_vectors,
    select,
)
from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.errors import ConfigError


def ids(cases: list[Case]) -> set[str]:
    """The ids of cases."""
    return {case.id for case in cases}


def find(key: str, profile: str = LATEST) -> Case:
    """The case of a profile with this key."""
    return next(case for case in load_suite(profile) if case.key == key)


def test_every_recorded_case_is_in_the_suite() -> None:
    """The catalog lists each recorded conversation once, in order."""
    recorded = [case.id for case in load_vectors()]
    catalog = [entry["name"] for entry in read_vectors("catalog.json")["cases"]]

    assert catalog == recorded
    assert {case.recorded_as for case in load_suite()} - {None} == set(recorded)


def test_ids_are_unique() -> None:
    """Keys are unique, and no id is a prefix of another up to a slash."""
    cases = load_suite()
    names = sorted(ids(cases))

    assert len({case.key for case in cases}) == len(cases)
    assert not [id_ for id_ in names if any(other.startswith(f"{id_}/") for other in names)]


def test_a_case_is_played_over_each_transport() -> None:
    """Over long-polling, a case uses the long-poll path and has no close codes."""
    case = find("end/disconnect/self longpoll")
    first, last = case.steps[0], case.steps[-1]

    assert isinstance(first.action, Open)
    assert first.action.target == "/socket/longpoll?vsn=2.0.0&user=u1"
    assert last.wanted == {"frames": {"a": [{"gone": True}]}}
    assert {case.transport for case in load_suite(transports=["longpoll"])} == {"longpoll"}


@pytest.mark.parametrize(
    ("profile", "wanted"), [("1.8.2", {}), ("1.8.12", {"reason": "channel_crash"})]
)
def test_a_profile_changes_what_is_wanted(profile: str, wanted: object) -> None:
    """Before 1.8.10, the payload of phx_error was empty."""
    case = find("end/crash/unknown-event websocket", profile)

    assert case.steps[2].wanted["frames"]["a"][0]["text"][4] == wanted


def test_a_profile_omits_cases_that_it_does_not_have() -> None:
    """The option auth_token exists since 1.8."""
    assert "connect/auth-token/alone" not in ids(load_suite("1.7"))
    assert "connect/auth-token/alone" in ids(load_suite("1.8.2"))


@pytest.mark.parametrize(
    ("profile", "code"),
    [("1.6", 1000), ("1.8.12", 1002), ("1.8.12-cowboy", 1000), ("1.9-dev-cowboy", 1000)],
)
def test_a_server_changes_what_is_wanted(profile: str, code: int) -> None:
    """Cowboy closes an idle client with 1000, in every version."""
    case = find("end/idle-timeout websocket", profile)

    assert case.steps[2].wanted["frames"] == {"a": [{"close": code}]}


def test_a_profile_is_like_another() -> None:
    """1.9-dev has the cases of 1.8.12, with the token in the header as a MUST."""
    key = "longpoll/token/header longpoll"

    assert ids(load_suite("1.9-dev-cowboy")) == ids(load_suite("1.8.12"))
    assert [find(key, name).level for name in ("1.8.12", "1.9-dev", "1.9-dev-cowboy")] == [
        "SHOULD",
        "MUST",
        "MUST",
    ]


def test_an_unknown_profile_is_an_error() -> None:
    """The error lists the profiles."""
    with pytest.raises(ConfigError, match=r"no profile '2\.0': choose from 1\.5, "):
        load_suite("2.0")


def test_differences_name_what_is_there() -> None:
    """Differences name existing profiles and existing steps."""
    for profile in profiles():
        assert load_suite(profile)
    for entry in [*read_vectors("catalog.json")["cases"], *read_vectors("written.json")["cases"]]:
        for difference in entry.get("differences", ()):
            assert set(difference.get("profiles", ())) < set(profiles())
            steps = len(find(f"{entry['id']} {entry['transports'][0]}").steps)
            assert all(1 <= int(number) <= steps for number in difference.get("expect", ()))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("join/duplicate/order", {"join/duplicate/order"}),
        ("join-twice-same-socket", {"join/duplicate/order"}),
        ("heartbeat", {"heartbeat/v1", "heartbeat/v2", "heartbeat/other-event"}),
        (
            "join/ok/",
            {"join/ok/v1", "join/ok/v2", "join/ok/v1-join-ref", "join/ok/payload-not-echoed"},
        ),
        ("*/order", {"join/duplicate/order", "leave/order"}),
        ("join/o", set()),
    ],
)
def test_cases_are_chosen_by_name(pattern: str, expected: set[str]) -> None:
    """A name may be an id, its beginning up to a slash, a recorded name, or a pattern."""
    recorded = [case for case in load_suite() if case.recorded_as is not None]

    assert ids(select(recorded, only=[pattern])) == expected


def test_cases_are_left_out_by_name_and_level() -> None:
    """`without` overrides `only`; levels filter further."""
    cases = load_suite()

    some = select(cases, only=["end"], without=["end/idle"], levels=["PROFILE"])

    assert ids(some) == {"end/idle-timeout"}


def test_expected_failures_are_read(tmp_path: Path) -> None:
    """A line names a case over all transports or over one; comments are ignored."""
    path = tmp_path / "known.txt"
    path.write_text("# known\njoin/ok/v1  # no V1\n\nleave/order   longpoll\n")

    expected = ExpectedFailures.read(path, load_suite())

    named = [case.key for case in load_suite() if expected.names(case)]
    assert named == ["join/ok/v1 websocket", "join/ok/v1 longpoll", "leave/order longpoll"]


def test_unknown_expected_failures_are_an_error(tmp_path: Path) -> None:
    """A misspelt id would hide a failure, so the error lists all of them with their lines."""
    path = tmp_path / "known.txt"
    path.write_text("join/ok\njoin/ok/v1\njoin/ok/v1 carrier-pigeon\n")

    with pytest.raises(ConfigError) as caught:
        ExpectedFailures.read(path, load_suite())

    assert "known.txt:1: no case 'join/ok'" in str(caught.value)
    assert "known.txt:3: no case 'join/ok/v1 carrier-pigeon'" in str(caught.value)
    assert "known.txt:2" not in str(caught.value)
