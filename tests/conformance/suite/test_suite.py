"""The suite is what its files say: every recorded case has an id, profiles differ where they do."""

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
    """One case of a profile."""
    return next(case for case in load_suite(profile) if case.key == key)


def test_every_recorded_case_is_in_the_suite() -> None:
    """The catalog names each conversation of the recording once."""
    recorded = [case.id for case in load_vectors()]
    catalog = [entry["name"] for entry in read_vectors("catalog.json")["cases"]]

    assert catalog == recorded
    assert {case.recorded_as for case in load_suite()} - {None} == set(recorded)


def test_ids_tell_cases_apart() -> None:
    """No two plays share a key, and no id is the folder of another."""
    cases = load_suite()
    names = sorted(ids(cases))

    assert len({case.key for case in cases}) == len(cases)
    assert not [id_ for id_ in names if any(other.startswith(f"{id_}/") for other in names)]


def test_a_case_is_played_over_each_transport_that_carries_it() -> None:
    """A long-poll play opens the long-poll path, and cannot tell close codes apart."""
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
    """Before 1.8.10 a phx_error carried nothing."""
    case = find("end/crash/unknown-event websocket", profile)

    assert case.steps[2].wanted["frames"]["a"][0]["text"][4] == wanted


def test_a_profile_leaves_out_what_it_does_not_know() -> None:
    """Batches over long-polling came with 1.7."""
    assert "longpoll/batch/ndjson" not in ids(load_suite("1.6"))
    assert "longpoll/batch/ndjson" in ids(load_suite("1.7"))


def test_a_profile_that_is_none_is_a_clear_error() -> None:
    """The error names the profiles there are."""
    with pytest.raises(ConfigError, match=r"no profile '2\.0': choose from 1\.5, "):
        load_suite("2.0")


def test_differences_name_what_is_there() -> None:
    """A difference concerns known profiles, and steps that the case has."""
    for profile in profiles():
        assert load_suite(profile)
    for entry in [*read_vectors("catalog.json")["cases"], *read_vectors("written.json")["cases"]]:
        for difference in entry.get("differences", ()):
            assert set(difference["profiles"]) < set(profiles())
            steps = len(find(f"{entry['id']} {entry['transports'][0]}").steps)
            assert all(1 <= int(number) <= steps for number in difference["expect"])


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
    """An id, its beginning up to a slash, a recorded name, or a pattern."""
    recorded = [case for case in load_suite() if case.recorded_as is not None]

    assert ids(select(recorded, only=[pattern])) == expected


def test_cases_are_left_out_by_name_and_level() -> None:
    """`without` wins over `only`; levels narrow further."""
    cases = load_suite()

    some = select(cases, only=["end"], without=["end/idle"], levels=["PROFILE"])

    assert ids(some) == {"end/idle-timeout"}


def test_expected_failures_are_read(tmp_path: Path) -> None:
    """A line names a case over every transport, or over one; comments are no entries."""
    path = tmp_path / "known.txt"
    path.write_text("# known\njoin/ok/v1  # no V1\n\nleave/order   longpoll\n")

    expected = ExpectedFailures.read(path, load_suite())

    named = [case.key for case in load_suite() if expected.names(case)]
    assert named == ["join/ok/v1 websocket", "join/ok/v1 longpoll", "leave/order longpoll"]


def test_expected_failures_that_name_nothing_are_all_told(tmp_path: Path) -> None:
    """A misspelt id would hide a failure: it is an error, with its line."""
    path = tmp_path / "known.txt"
    path.write_text("join/ok\njoin/ok/v1\njoin/ok/v1 carrier-pigeon\n")

    with pytest.raises(ConfigError) as caught:
        ExpectedFailures.read(path, load_suite())

    assert "known.txt:1: no case 'join/ok'" in str(caught.value)
    assert "known.txt:3: no case 'join/ok/v1 carrier-pigeon'" in str(caught.value)
    assert "known.txt:2" not in str(caught.value)
